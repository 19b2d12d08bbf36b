"""A container of the user's own, started by the same command."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from dependency_injector import containers, providers
from omegaconf import DictConfig, OmegaConf

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.config.paths import find_path, is_under, overlaps
from legoloop.app.config.settings import LAUNCH_KEYS
from legoloop.app.config.targets import resolve
from legoloop.core.errors import ConfigError
from legoloop.core.flatten import flatten_config
from legoloop.core.suggestions import did_you_mean
from legoloop.state.run_record import LABELS

GIVEN = ("app", *LAUNCH_KEYS)
"""The keys whose values never come from the container."""

_ABSENT = object()


def make_user_app(blueprint: Blueprint) -> tuple[Any, Blueprint]:
    """An instance of the container that ``app`` names, and the blueprint of what it is fed.

    The container's own values stand, except for what the user set; what it does not declare comes
    from the tree as composed.

    Raises ConfigError if it is no container with a ``config`` and a ``host``, for a key that the
    user set but the container neither declares nor reads, for one that it reads and nobody set,
    and for a known key of the wrong type.
    """
    path = str(blueprint.settings.app)
    app = _instance(path)
    declared = OmegaConf.create(app.config() or {}, flags={"allow_objects": True})
    plain: Any = OmegaConf.to_container(declared, resolve=False)
    read = {*GIVEN, "seed", *LABELS, *_options(app), *(key for key, _ in flatten_config(plain))}
    for key in blueprint.origins:
        is_read = any(overlaps(key, option) for option in read)
        if not is_read or _is_lost_choice(blueprint, key, read):
            raise ConfigError(
                f"{path} does not read this key; {did_you_mean(key, sorted(read))}", key=key
            )
    is_again = blueprint.settings.rerun is not None  # then what the run was fed stands
    kept = list(blueprint.tree) if is_again else [*GIVEN, *blueprint.origins]
    tree = _with_values_of(declared, blueprint, kept)
    resolved: Any = OmegaConf.to_container(tree, resolve=True, throw_on_missing=True)
    unresolved: Any = OmegaConf.to_container(tree, resolve=False)
    fed = Blueprint.of(
        resolved,
        unresolved,
        blueprint.origins,
        blueprint.overrides,
        sweep=blueprint.sweep,
        varied=blueprint.varied,
    )
    app.config.from_dict(fed.tree)
    _check_all_are_set(path, app, declared=[key for key, _ in flatten_config(plain)])
    return app, fed


def _check_all_are_set(path: str, app: Any, declared: Sequence[str]) -> None:
    """Raises ConfigError for an option that the container reads and no configuration in it has.

    A container inside has a configuration of its own, which may be a part of the outer one.
    """
    found = [each() or {} for each in app.traverse([providers.Configuration])]
    for option in _options(app):
        if all(find_path(tree, option, _ABSENT) is _ABSENT for tree in found):
            raise ConfigError(
                f"{path} reads this key, and nobody sets it; {did_you_mean(option, declared)}",
                key=option,
                remedy="one that may be left out is declared as null",
            )


def _with_values_of(declared: DictConfig, blueprint: Blueprint, keys: Sequence[str]) -> DictConfig:
    """The composed tree with the declared values over it, except at these keys."""
    composed = OmegaConf.create(blueprint.unresolved)
    tree = composed.copy()
    tree.merge_with(declared)
    for key in keys:
        if (value := OmegaConf.select(composed, key, default=_ABSENT)) is not _ABSENT:
            OmegaConf.update(tree, key, value, merge=False, force_add=True)
    return tree


def _instance(path: str) -> Any:
    try:
        cls = resolve(path)
    except ConfigError as error:
        raise ConfigError(str(error), key="app") from error
    if not (isinstance(cls, type) and issubclass(cls, containers.DeclarativeContainer)):
        raise ConfigError(f"{path} is no DeclarativeContainer", key="app")
    for name, kind in {"config": providers.Configuration, "host": providers.Provider}.items():
        if not isinstance(cls.providers.get(name), kind):
            raise ConfigError(f"{path} has no provider '{name}' of kind {kind.__name__}", key="app")
    return cls()


def _options(app: Any) -> Iterator[str]:
    """The paths of the options that some provider of the container is given.

    An option that only leads to another, as ``optimizer`` in ``config.optimizer.lr``, is not read.
    """
    for provider in app.traverse():
        if not isinstance(provider, providers.Configuration | providers.ConfigurationOption):
            for given in provider.related:
                if isinstance(given, providers.ConfigurationOption):
                    yield given.get_name().partition(".")[2]


def _is_lost_choice(blueprint: Blueprint, key: str, read: Collection[str]) -> bool:
    """A chosen option is a mapping; one of which only a value or two are read has no effect."""
    is_mapping = isinstance(find_path(blueprint.tree, key), dict)
    return is_mapping and not any(is_under(key, option) for option in read)
