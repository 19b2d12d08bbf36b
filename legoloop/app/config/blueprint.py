"""The blueprint: the configuration of one run as a value, understood and checked.

It is made once, from the resolved tree, without Hydra and without dependency_injector. The
container is declared from it; ``show=…``, sweeps, resuming, rerunning and ``evaluate`` read it. It
is plain data: it can be compared, written as JSON, and sent to another process and built there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from legoloop.app.config.binding import BoundCall, bind_nested
from legoloop.app.config.components import (
    PLUGIN_LISTS,
    component_paths,
    dataset_nodes,
    is_hooked,
    scope_names,
)
from legoloop.app.config.paths import Tree, find_path, get_path, is_under
from legoloop.app.config.references import references, refers_to
from legoloop.app.config.replaced import left_over_keys, without
from legoloop.app.config.settings import (
    COLLECTIONS,
    COMPONENTS,
    LAUNCH_KEYS,
    OBSERVATION_KEYS,
    DataSettings,
    RunSettings,
    check_nodes,
    read_settings,
)
from legoloop.app.config.validate import (
    PRECISION,
    Needs,
    asked_for,
    check_chosen_are_used,
    check_circles,
    check_is_node,
    check_key_types,
    check_keys,
    check_loaders,
    check_names,
    check_numbers,
    check_precision,
    check_required,
    check_settings_are_read,
    check_train,
    needs_of,
)
from legoloop.core.errors import ConfigError
from legoloop.core.json_tree import decoded, encoded
from legoloop.core.text import shown
from legoloop.core.variation import Variation
from legoloop.loop.order import Edge, in_order
from legoloop.loop.plan import declared_edges, drives
from legoloop.loop.stages import Stage, hooks_of
from legoloop.results.reading import flatten_run_config

Loaders = Any
"""``data.loaders``: settings by name, with bound calls in the place of nodes."""


NOT_VARIED = (*LAUNCH_KEYS, *OBSERVATION_KEYS, "loggers")
"""Keys that say nothing of what a run learns."""


@dataclass(frozen=True)
class Blueprint:
    """The configuration of one run.

    Args:
        tree: the values, every reference resolved: what feeds the container's ``config``, and what
            ``config.yaml`` holds.
        unresolved: the same, with references as they were written (``${num_epochs}``).
        origins: the dotted keys that the user set, and where: a file, or the command line.
        overrides: the overrides of the run as the user wrote them.
        settings: the top-level keys that are values.
        data: the keys under ``data`` that are values.
        components: what will be built, by name: plugins, loggers, and what they ask for.
        unused: the paths of the other components by name, which are neither built nor checked.
        datasets: the data sets, by name.
        loaders: the settings of the loaders.
        lists: the members of the lists of plugins that may be injected.
        edges: pairs of plugins of which the first is called before the second.
        plugin_order: the names of plugins and loggers in the order in which the host calls them.
        scope: the names that may be injected.
        sweep: the folder of the sweep that the run is a job of; None: of none.
        varied: the overrides of the job that not all jobs of the sweep have.

    ``app`` set to a container of the user's own leaves components to scope empty.
    """

    tree: Tree
    unresolved: Tree
    origins: Mapping[str, str]
    overrides: tuple[str, ...]
    settings: RunSettings
    data: DataSettings = field(default_factory=DataSettings)
    components: Mapping[str, BoundCall] = field(default_factory=dict)
    unused: Mapping[str, str] = field(default_factory=dict)
    datasets: Mapping[str, BoundCall] = field(default_factory=dict)
    loaders: Loaders = None
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    edges: tuple[Edge, ...] = ()
    plugin_order: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
    sweep: str | None = None
    varied: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        tree: Tree,
        unresolved: Tree | None = None,
        origins: Mapping[str, str] | None = None,
        overrides: Sequence[str] = (),
        like: Blueprint | None = None,
        sweep: str | None = None,
        varied: Sequence[str] = (),
    ) -> Blueprint:
        """Understand and check a tree.

        Args:
            tree: the values, every reference resolved.
            unresolved: with references as written; None: there are none.
            origins: the keys that the user set, and where; only these must be used by something.
            overrides: as the user wrote them.
            like: a blueprint of a tree that is much the same: what is equal is not bound again.
            sweep: the folder of the sweep that the run is a job of; None: of none.
            varied: the overrides that not all jobs of the sweep have.

        Raises ConfigError for the first thing that is wrong: a key that nothing takes, a value of
        the wrong type or out of range, a target that does not exist, a required component that is
        missing, components that need each other, a component that was chosen and is not used.

        >>> Blueprint.of({"num_epochs": 3, "data": {}, "plugins": {}})
        Traceback (most recent call last):
        legoloop.core.errors.ConfigError: data: is empty; choose an option with data=…
        """
        check_key_types(tree)
        unresolved = tree if unresolved is None else unresolved
        precision = find_path(tree, PRECISION)
        if left_over := left_over_keys(tree, unresolved, origins or {}):
            tree, unresolved = without(tree, left_over), without(unresolved, left_over)
        given = (tree, unresolved, dict(origins or {}), tuple(overrides))
        settings = read_settings(RunSettings, tree)
        check_nodes(settings)
        place: dict[str, Any] = {"sweep": sweep, "varied": tuple(varied)}
        if settings.app is not None:
            return cls(*given, settings, **place)
        _check_mappings(tree)
        check_numbers(tree, given[2])
        data = read_settings(DataSettings, tree.get("data") or {}, "data.")
        check_keys(tree, unresolved)
        check_required(tree)
        check_settings_are_read(unresolved, given[2])
        named = list(component_paths(tree))
        check_names(named, data.model_kwargs)
        binder = _Binder(scope_names(tree), like)
        datasets = binder.all_of(
            {name: (f"data.datasets.{name}", node) for name, node in dataset_nodes(tree).items()}
        )
        loaders = binder.nested("data.loaders", tree["data"].get("loaders"))
        check_loaders(tree["data"], loaders)
        nodes = {name: (path, get_path(tree, path)) for name, path in named}
        hooked = sorted(name for name, path in named if is_hooked(path))
        of_the_data = [*datasets.values(), loaders]
        components, lists, needs = _in_use(nodes, hooked, of_the_data, data.model_kwargs, binder)
        check_circles(needs, components)
        if suggested := _suggested_schedule(components, lists, needs, given[2]):
            trees = without(tree, suggested), without(unresolved, suggested)
            return cls.of(*trees, *given[2:], like, **place)
        check_train(tree, list(components.values()), data.model_kwargs)
        unused = {name: path for name, path in named if name not in components}
        check_chosen_are_used({path: get_path(tree, path) for path in unused.values()}, given[2])
        check_precision(precision, components.get("feed"), PRECISION in left_over)
        edges = tuple(_edges({name: components[name] for name in hooked}, lists))
        return cls(
            *given,
            settings,
            data,
            components,
            unused,
            datasets,
            loaders,
            lists,
            edges,
            tuple(in_order(hooked, edges)),
            binder.scope,
            **place,
        )

    @property
    def digest(self) -> str:
        """The SHA-256 of ``behaviour()``, what the run does, in hexadecimal."""
        values = json.dumps(encoded(self.behaviour()), sort_keys=True)
        return sha256(values.encode()).hexdigest()

    def behaviour(self) -> Mapping[str, Any]:
        """The values by dotted key, without how and where the run is launched and observed.

        What refers to a key that only observes (``run_name: ${name}``) is left out with it.
        """
        observing = {
            path.partition("[")[0]
            for path, text in references(self.unresolved)
            if refers_to(text, OBSERVATION_KEYS)
        }
        values = behaviour(flatten_run_config(self.tree))
        return {key: value for key, value in values.items() if key not in observing}

    @property
    def variation(self) -> Variation:
        """What varied between the jobs of the sweep, or else what the overrides of the run say."""
        values: dict[str, float | str] = {}
        for override in self.varied if self.sweep is not None else self.overrides:
            key, _, text = override.lstrip("+").partition("=")
            if not any(is_under(key, other) for other in NOT_VARIED):
                value = find_path(self.tree, key)
                is_number = isinstance(value, int | float) and not isinstance(value, bool)
                values[key] = value if is_number else text
        return Variation(values, None if self.sweep is None else Path(self.sweep))

    def plugin_class(self, name: str) -> type | None:
        """The class of a component; None if a function makes it."""
        function = self.components[name].function
        return function if isinstance(function, type) else None

    @property
    def epoch_driver(self) -> str | None:
        """The name of the plugin whose ``batches()`` drives the epochs; None if none has it."""
        classes = ((name, self.plugin_class(name)) for name in self.plugin_order)
        return next((name for name, cls in classes if cls is not None and drives(cls)), None)

    def named(self, kind: type) -> list[str]:
        """The components of a class, by whatever name they have; plugins in calling order."""
        names = dict.fromkeys((*self.plugin_order, *self.components))
        classes = {name: self.plugin_class(name) for name in names}
        return [name for name, cls in classes.items() if cls is not None and issubclass(cls, kind)]

    def to_dict(self) -> dict[str, Any]:
        """What ``from_dict`` makes an equal blueprint from; it can be written as JSON."""
        return {
            "tree": encoded(self.tree),
            "unresolved": encoded(self.unresolved),
            "origins": dict(self.origins),
            "overrides": list(self.overrides),
            "sweep": self.sweep,
            "varied": list(self.varied),
        }

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Blueprint:
        """The blueprint that ``to_dict`` wrote, checked against the code that is there now."""
        return cls.of(**{name: decoded(value) for name, value in written.items()})


def behaviour(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted key, without the keys that say how a run is launched and observed.

    >>> behaviour({"seed": 0, "resume": "must", "sweep.on_failure": "stop", "name": "first"})
    {'seed': 0}
    """
    others = (*LAUNCH_KEYS, *OBSERVATION_KEYS)
    return {key: value for key, value in values.items() if key.partition(".")[0] not in others}


class _Binder:
    """Binds nodes; one that another blueprint has bound already is taken from there."""

    def __init__(self, scope: tuple[str, ...], like: Blueprint | None) -> None:
        self.scope = scope
        self._like = like if like is not None and like.scope == scope else None
        self._bound: dict[str, Any] = {}
        if self._like is not None:
            made = (*self._like.components.values(), *self._like.datasets.values())
            self._bound = {call.path: call for call in made}
            self._bound["data.loaders"] = self._like.loaders

    def all_of(self, nodes: Mapping[str, tuple[str, Any]]) -> dict[str, BoundCall]:
        """The calls of components, given by name: their paths and nodes.

        Raises ConfigError for a component that is no node.
        """
        calls: dict[str, BoundCall] = {}
        for name, (path, node) in nodes.items():
            check_is_node(path, node)
            calls[name] = self.nested(path, node)
        return calls

    def nested(self, path: str, value: Any) -> Any:
        """The value, with bound calls in the place of nodes."""
        # By repr, since 1 == True == 1.0.
        before = find_path(self._like.tree, path) if self._like and path in self._bound else None
        if before is not None and repr(before) == repr(value):
            return self._bound[path]
        return bind_nested(path, value, self.scope)


def _in_use(
    nodes: Mapping[str, tuple[str, Any]],
    hooked: Sequence[str],
    data: Sequence[Any],
    model_kwargs: Sequence[str],
    binder: _Binder,
) -> tuple[dict[str, BoundCall], dict[str, tuple[str, ...]], Needs]:
    """The components that the host calls and what they ask for, bound; nothing else is looked at.

    Args:
        nodes: of all components, by name: their paths and nodes.
        hooked: the names of plugins and loggers.
        data: the bound calls of the data sets and their loaders.
        model_kwargs: names that the train data set provides.
        binder: binds them.

    Returns the components, the lists of plugins, and which names each name needs.
    """
    calls: dict[str, BoundCall] = {}
    more: list[str] = list(hooked)
    while more:
        calls.update(binder.all_of({name: nodes[name] for name in more}))
        lists = _plugin_lists(calls)
        needs = needs_of(calls, data, lists, model_kwargs)
        found = asked_for(needs, hooked)
        more = [name for name in nodes if name in found and name not in calls]
    return {name: calls[name] for name in nodes if name in calls}, lists, needs


def _suggested_schedule(
    components: Mapping[str, BoundCall],
    lists: Mapping[str, Sequence[str]],
    needs: Needs,
    origins: Mapping[str, str],
) -> list[str]:
    """The paths of a schedule that an option of data suggests to a run that it is not about.

    That is a run of a user's whose epoch driver has a stream of its own, or whose steps are made
    with another optimizer.
    """
    steppers = [name for name in components if "scheduler" in needs[name]]
    schedule = ["scheduler", *(components[name].path for name in steppers)]
    is_chosen = any(is_under(key, path) for key in origins for path in schedule)
    if not origins or not steppers or is_chosen:
        return []
    makes_steps = [
        name for name, call in components.items() if name not in steppers and _makes_steps(call)
    ]
    is_about = "train_iterator" in asked_for(needs, lists["drivers"])
    return [] if is_about and "optimizer" in asked_for(needs, makes_steps) else schedule


def _makes_steps(call: BoundCall) -> bool:
    """Whether it may be a plugin that changes the weights, as whatever a function makes may."""
    made_by = call.function
    is_plugin = is_under(call.path, "plugins")
    return is_plugin and (not isinstance(made_by, type) or Stage.BATCH in hooks_of(made_by))


def _plugin_lists(components: Mapping[str, BoundCall]) -> dict[str, tuple[str, ...]]:
    """The names of the plugins that have the method of each list."""
    plugins = {
        name: call.function for name, call in components.items() if is_under(call.path, "plugins")
    }
    return {
        name: tuple(plugin for plugin, made_by in plugins.items() if hasattr(made_by, method))
        for name, method in PLUGIN_LISTS.items()
    }


def _check_mappings(tree: Tree) -> None:
    for key in ("data", *COMPONENTS, *COLLECTIONS):
        if not isinstance(tree.get(key), Mapping | None):
            raise ConfigError(f"is {shown(tree[key])}; give a mapping of names", key=key)


def _edges(plugins: Mapping[str, BoundCall], lists: Mapping[str, Sequence[str]]) -> list[Edge]:
    """A plugin is called after those that it is given, and as ``after`` and ``before`` say."""
    edges: list[Edge] = []
    for name, call in plugins.items():
        for provider in call.dependencies.values():
            for earlier in lists.get(provider, [provider]):
                if earlier in plugins and earlier != name:
                    edges.append((earlier, name))
    classes = {
        name: call.function for name, call in plugins.items() if isinstance(call.function, type)
    }
    return [*edges, *declared_edges(classes, classes)]
