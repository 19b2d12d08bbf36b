"""A container of the user's own, started by the same command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dependency_injector import containers, providers
from omegaconf import DictConfig

from legoloop.app.nodes import NodeError
from legoloop.app.schema import TOP, check_values
from legoloop.app.targets import resolve
from legoloop.app.trees import plain
from legoloop.core.errors import ConfigError
from legoloop.core.suggest import suggestion

ALWAYS_READ = ("app", "seed", "run_dir")


def own_app(raw: DictConfig, set_keys: Sequence[str]) -> Any:
    """An instance of the container that ``app`` names, its ``config`` fed with the tree.

    Raises NodeError if it is no container with a ``config`` and a ``host``, and for a key that the
    user set but the container does not read.
    """
    tree = plain(raw)
    check_values(tree, TOP)
    app = _instance(tree["app"])
    read = {*ALWAYS_READ, *_options(app)}
    for key in set_keys:
        if not any(_reaches(key, option) for option in read):
            raise NodeError(
                key, f"{tree['app']} does not read this key; {suggestion(key, sorted(read))}"
            )
    app.config.from_dict(tree)
    return app


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


def _reaches(key: str, option: str) -> bool:
    """A key is read by an option at, above or below it."""
    return f"{key}.".startswith(f"{option}.") or f"{option}.".startswith(f"{key}.")
