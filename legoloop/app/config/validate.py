"""What can be wrong with a tree as a whole: keys, names, circles, unused components."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from inspect import Parameter
from typing import Any

from legoloop.app.config.binding import INJECT, BoundCall, calls_in, is_node
from legoloop.app.config.components import (
    APP_PROVIDERS,
    DATA_PROVIDERS,
    TRAIN,
    dataset_nodes,
)
from legoloop.app.config.paths import Tree, find_path, is_under
from legoloop.app.config.references import referenced_keys, references
from legoloop.app.config.settings import (
    BY_REFERENCE,
    COMMAND_LINE,
    COMPONENTS,
    TOP_LEVEL,
    DataSettings,
    SweepSettings,
    setting_names,
)
from legoloop.app.config.targets import parameters
from legoloop.core.errors import ArgumentError, ConfigError
from legoloop.core.suggestions import did_you_mean
from legoloop.core.text import shown
from legoloop.data.loader_config import loader_configs

NO_DATASETS = "choose an option with data=…, or give plugins.epoch.train_iterator a stream"
PRECISION = "feed.precision"
Needs = Mapping[str, set[str]]
"""The names that each name needs to be built first."""


def check_keys(tree: Tree, unresolved: Tree) -> None:
    """Raises ConfigError for a key that nothing reads and no value refers to."""
    known = {
        "": TOP_LEVEL,
        "data.": setting_names(DataSettings),
        "sweep.": setting_names(SweepSettings),
    }
    referenced: set[str] | None = None
    for prefix, names in known.items():
        node = tree.get(prefix.removesuffix(".")) or {} if prefix else tree
        for key in node:
            if key not in names:
                if referenced is None:
                    referenced = _referenced(unresolved)
                if "." in str(key):
                    raise ConfigError(
                        f"'{prefix}{key}': in a file, a dot in a name makes no path",
                        remedy=f"write a line for each name: {str(key).replace('.', ': then ')}:",
                    )
                if f"{prefix}{key}" not in referenced:
                    raise ConfigError(
                        f"nothing takes this key; {did_you_mean(str(key), names)}",
                        key=f"{prefix}{key}",
                    )


def check_settings_are_read(unresolved: Tree, origins: Mapping[str, str]) -> None:
    """Raises ConfigError for a setting of the command line that no component refers to."""
    given = [key for key in BY_REFERENCE if origins.get(key) == COMMAND_LINE]
    if not given:
        return
    referenced = _referenced(unresolved)
    for key in given:
        if key not in referenced:
            raise ConfigError(
                "has no effect here: no component refers to it", key=key, remedy="leave it out"
            )


def _referenced(unresolved: Tree) -> set[str]:
    """The keys that some value refers to, and all that lie above them."""
    keys = {key for _, text in references(unresolved) for key in referenced_keys(text)}
    return {key.rsplit(".", cut)[0] for key in keys for cut in range(key.count(".") + 1)}


def check_key_types(tree: Mapping[Any, Any], path: str = "", in_node: bool = False) -> None:
    """Raises ConfigError for a key that is no text, such as ``on``, which YAML reads as true.

    A value of a node may be a mapping of anything.
    """
    has_target = "_target_" in tree
    for key, value in tree.items():
        if not isinstance(key, str) and (has_target or not in_node):
            raise key_is_no_text(key, path)
        if isinstance(value, Mapping):
            check_key_types(value, f"{path}{key}.", in_node or has_target)


def key_is_no_text(key: Any, path: str = "") -> ConfigError:
    """The error for such a key.

    Args:
        key: what YAML made of it.
        path: of the mapping that has it, with a dot at its end.
    """
    kind = type(key).__name__
    return ConfigError(f"is a key of type {kind}", key=f"{path}{key}", remedy=f"quote '{key}'")


def check_numbers(tree: Tree, set_keys: Iterable[str]) -> None:
    """Raises ConfigError for a whole number that the user set and no float can hold.

    A parameter that takes floats takes whole numbers too, so it would overflow within a component.
    """
    for key in set_keys:
        if _is_beyond_floats(find_path(tree, key)):
            raise ConfigError("has a number of more than 308 digits", key=key)


def _is_beyond_floats(value: Any) -> bool:
    if isinstance(value, int):
        return value.bit_length() > sys.float_info.max_exp
    inside = value.values() if isinstance(value, Mapping) else value
    return isinstance(value, Mapping | list | tuple) and any(map(_is_beyond_floats, inside))


def check_required(tree: Tree) -> None:
    """Raises ConfigError without data, plugins, or the predicted data set."""
    for name in ("data", "plugins"):
        if not tree.get(name):
            raise ConfigError(f"is empty; choose an option with {name}=…", key=name)
    predicted = tree["data"].get("predict_dataset")
    if predicted is not None:
        _check_dataset(tree, predicted, "data.predict_dataset")


def check_train(tree: Tree, used: Iterable[BoundCall], model_kwargs: Collection[str]) -> None:
    """Raises ConfigError without a train data set, if a component that is used needs it.

    An epoch driver with a stream of its own does not, nor does who can do without the stream.
    """
    for call in calls_in(list(used)):
        accepted = parameters(call.function) or {}
        for name, provider in call.dependencies.items():
            is_optional = name in accepted and accepted[name].default is not Parameter.empty
            if provider in model_kwargs or (provider == "train_iterator" and not is_optional):
                _check_dataset(tree, TRAIN, "data.datasets")


def _check_dataset(tree: Tree, name: str, key: str) -> None:
    datasets = dataset_nodes(tree)
    if name not in datasets:
        remedy = did_you_mean(name, datasets) if datasets else NO_DATASETS
        raise ConfigError(f"there is no data set '{name}'; {remedy}", key=key)


def check_loaders(data: Mapping[str, Any], loaders: Any) -> None:
    """Raises ConfigError for settings of loaders that do not exist or are out of range.

    Args:
        data: the tree under ``data``.
        loaders: ``data.loaders`` with bound calls in the place of nodes.
    """
    try:
        loader_configs(data.get("datasets") or {}, {**data, "loaders": _with_stand_ins(loaders)})
    except ArgumentError as error:
        raise error.located(key=f"data.{error.argument}") from None


def _with_stand_ins(loaders: Any) -> Any:
    """The settings with a function in the place of each that a bound call will give."""
    if isinstance(loaders, BoundCall):
        return loader_configs
    if isinstance(loaders, Mapping):
        return {key: _with_stand_ins(value) for key, value in loaders.items()}
    return loaders


def check_names(named: Iterable[tuple[str, str]], model_kwargs: Iterable[str]) -> None:
    """Raises ConfigError for a name that two components have, or that the container needs.

    Args:
        named: the name and path of each component.
        model_kwargs: names that the train data set provides.
    """
    owned = {"data", *DATA_PROVIDERS, *APP_PROVIDERS, *model_kwargs}
    seen: dict[str, str] = {}
    for name, path in named:
        if name in seen:
            raise ConfigError(
                f"the name is taken by {seen[name]} already; choose another", key=path
            )
        if name in owned or (path != name and name in COMPONENTS):
            raise ConfigError(f"the name '{name}' is taken; choose another", key=path)
        seen[name] = path


def needs_of(
    components: Mapping[str, BoundCall],
    data: Any,
    lists: Mapping[str, Sequence[str]],
    model_kwargs: Iterable[str],
) -> dict[str, set[str]]:
    """Which names each name needs to be built first.

    Args:
        components: the bound calls by name.
        data: the bound calls of the data sets and their loaders.
        lists: the members of the lists of plugins.
        model_kwargs: names that the train data set provides.
    """
    of_the_data = (*DATA_PROVIDERS, *model_kwargs)
    return {
        "params": {
            *("model", "feed", "parallel"),
            *(["loss"] if trains_loss(components) else []),
        },
        **{name: set(members) for name, members in lists.items()},
        **{name: {"datasets"} for name in of_the_data},
        "datasets": _dependencies(data),
        **{name: _dependencies(call) for name, call in components.items()},
    }


def trains_loss(components: Mapping[str, BoundCall]) -> bool:
    """Whether ``params`` has the parameters of ``loss``: some component is given it."""
    others = [call for name, call in components.items() if name != "loss"]
    return "loss" in components and "loss" in _dependencies(others)


def _dependencies(bound: Any) -> set[str]:
    return {name for call in calls_in(bound) for name in call.dependencies.values()}


def check_circles(needs: Needs, components: Mapping[str, BoundCall]) -> None:
    """Raises ConfigError for components that need each other."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        circle = error.args[1][:0:-1]
        start = next((place for place, name in enumerate(circle) if name in components), 0)
        circle = [*circle[start:], *circle[: start + 1]]
        raise ConfigError(
            f"cannot be built: {' needs '.join(circle)}; inject another component into one of "
            f"them with {INJECT}",
            key=components[circle[0]].path if circle[0] in components else "data.datasets",
        ) from None


def asked_for(needs: Needs, askers: Iterable[str]) -> set[str]:
    """The names that some are given, by themselves or through others, and these names.

    >>> sorted(asked_for({"descent": {"model"}, "model": set(), "loss": set()}, ["descent"]))
    ['descent', 'model']
    """
    found: set[str] = set()
    waiting = list(askers)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(needs.get(name, ()))
    return found


def check_is_node(path: str, node: Any) -> None:
    """Raises ConfigError for a component that names no target."""
    if not is_node(node):
        raise ConfigError(f"is {shown(node)}; a component is a mapping with a _target_", key=path)


def check_chosen_are_used(unused: Mapping[str, Any], set_keys: Iterable[str]) -> None:
    """Raises ConfigError for a component that the user chose and that nothing uses.

    Args:
        unused: the nodes of the components that nothing uses, by path.
        set_keys: the keys that the user set.
    """
    for path, node in unused.items():
        if any(is_under(key, path) for key in set_keys):
            check_is_node(path, node)
            raise ConfigError("is chosen, but no plugin and no logger uses it", key=path)


def check_precision(value: Any, feed: BoundCall | None, is_left_over: bool) -> None:
    """Raises ConfigError for a mixed precision that no feed computes in.

    Args:
        value: what the option ``precision`` gives the feed.
        feed: the component; None: nothing uses it.
        is_left_over: whether it is the user's, and does not take it.
    """
    if value in (None, "fp32") or (feed is not None and not is_left_over):
        return
    why = f"{feed.target} takes no precision" if feed is not None else "nothing uses the feed"
    raise ConfigError(f"is {value}, but {why}", key=PRECISION, remedy="give precision=fp32")
