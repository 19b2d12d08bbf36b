"""A container of the user's own, started by the same command."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from dependency_injector import containers, providers
from omegaconf import DictConfig, OmegaConf

from legoloop.app.config.nodes import NodeError
from legoloop.app.config.schema import LAUNCH_KEYS, TOP, check_values
from legoloop.app.config.targets import resolve
from legoloop.app.config.trees import is_under, leaves, overlaps, plain
from legoloop.core.errors import ConfigError
from legoloop.core.suggestions import did_you_mean

GIVEN = ("app", *LAUNCH_KEYS)
"""The keys whose values never come from the container."""


def own_app(raw: DictConfig, set_keys: Sequence[str]) -> tuple[Any, DictConfig]:
    """An instance of the container that ``app`` names, and the tree that its ``config`` is fed.

    The container's own values stand, except for what the user set; what it does not declare comes
    from the tree as composed.

    Raises NodeError if it is no container with a ``config`` and a ``host``, for a key that the
    user set but the container neither declares nor reads, and for a known key of the wrong type.
    """
    app = _instance(str(raw.app))
    declared = OmegaConf.create(app.config() or {}, flags={"allow_objects": True})
    read = {*GIVEN, "seed", *_options(app), *leaves(declared)}
    for key in set_keys:
        if not any(overlaps(key, option) for option in read) or _is_lost_choice(raw, key, read):
            raise NodeError(
                key, f"{raw.app} does not read this key; {did_you_mean(key, sorted(read))}"
            )
    is_again = raw.get("rerun") is not None  # then what the run was fed stands
    tree = _with_values_of(declared, raw, list(raw) if is_again else (*GIVEN, *set_keys))
    check_values(plain(tree), TOP)
    app.config.from_dict(plain(tree))
    return app, tree


def _with_values_of(declared: DictConfig, raw: DictConfig, keys: Sequence[str]) -> DictConfig:
    """The tree with the declared values over it, except at these keys."""
    tree = raw.copy()
    OmegaConf.set_struct(tree, False)
    tree.merge_with(declared)
    for key in keys:
        OmegaConf.update(tree, key, OmegaConf.select(raw, key), merge=False, force_add=True)
    return tree


def _instance(path: str) -> Any:
    try:
        cls = resolve(path)
    except ConfigError as error:
        raise NodeError("app", str(error)) from error
    if not (isinstance(cls, type) and issubclass(cls, containers.DeclarativeContainer)):
        raise NodeError("app", f"{path} is no DeclarativeContainer")
    for name, kind in {"config": providers.Configuration, "host": providers.Provider}.items():
        if not isinstance(cls.providers.get(name), kind):
            raise NodeError("app", f"{path} has no provider '{name}' of kind {kind.__name__}")
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


def _is_lost_choice(raw: DictConfig, key: str, read: Collection[str]) -> bool:
    """A chosen option is a mapping; one of which only a value or two are read has no effect."""
    is_mapping = isinstance(OmegaConf.select(raw, key), DictConfig)
    return is_mapping and not any(is_under(key, option) for option in read)
