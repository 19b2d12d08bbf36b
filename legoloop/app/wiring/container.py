"""The app: the container of one run, its providers made from the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from dependency_injector import containers, providers
from omegaconf import DictConfig

from legoloop.app.config.layout import (
    FROM_THE_APP,
    FROM_THE_DATA,
    TRAIN,
    brick_paths,
    datasets,
    gathered,
    heard,
    scope_names,
    tells,
)
from legoloop.app.config.nodes import NodeError, build, built
from legoloop.app.config.schema import BRICKS
from legoloop.app.config.trees import CurrentTree
from legoloop.app.config.validate import check
from legoloop.core.errors import ConfigError, DataError
from legoloop.core.rng import seed
from legoloop.data.container import Data
from legoloop.loop.host import TrainingHost


class App(containers.DeclarativeContainer):
    """The container of one run.

    ``make_app`` adds a provider for every brick, plugin and logger of the configuration, under its
    own name, ``host``, and ``tree``, the values as they stand. Set one
    (``app.config.optimizer.lr.from_value(0.1)``) or override a provider
    (``app.model.override(...)``) before the first use, and it takes effect everywhere.
    """

    config = providers.Configuration(strict=True)


def make_app(tree: DictConfig) -> Any:
    """The app of a composed configuration, which ``check`` has passed.

    The first brick that is built seeds the generators. Raises NodeError for a name that the
    container needs itself.
    """
    app = App()
    current = CurrentTree(tree, read=app.config)
    composed = current.composed
    app.config.from_dict(deepcopy(composed))
    bricks = dict(brick_paths(composed))
    _refuse_taken(bricks, tells(composed))
    scope: dict[str, providers.Provider[Any]] = {}
    seeded = providers.Singleton(_seeded, current)

    def brick(path: str) -> providers.Provider[Any]:
        return providers.Singleton(_built_at, path, current, scope, seeded.provider)

    on = providers.Singleton(device, providers.Callable(current.at, "device"))
    data = providers.Container(
        Data,
        config=providers.Callable(_with_functions, providers.Callable(current.at, "data"), scope),
        device=on,
        datasets=providers.Dict(
            {name: brick(f"data.datasets.{name}") for name in datasets(composed)}
        ),
    )
    made: dict[str, Any] = {
        "data": data,
        "device": on,
        **{name: brick(path) for name, path in bricks.items()},
    }
    made["params"] = providers.Singleton(_parameters, made.get("model"), made.get("feed"))
    lists = gathered(composed)
    for name, members in lists.items():
        made[name] = providers.List(*[made[member] for member in members])
    plugins = providers.Dict({name: made[name] for name in heard(composed)})
    made["host"] = providers.Singleton(_host, current, plugins.provider, lists["sources"])
    app.set_providers(**made, tree=providers.Callable(current))
    scope.update({name: made[name] for name in (*bricks, *FROM_THE_APP)})
    scope.update({name: data.container.providers[name] for name in FROM_THE_DATA[:3]})
    scope["train_iterator"] = data.loop_iters.provided[TRAIN]
    for name in tells(composed):
        scope[name] = providers.Callable(_told, data.datasets.provided[TRAIN], name)
    return app


def device(name: str) -> Any:
    """The torch device of a name; ``auto`` is a GPU if there is one.

    Raises ConfigError for a device that is not there.

    >>> device("cpu")
    device(type='cpu')
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise NodeError(
            "device", f"'{name}' cannot be used; give auto or cpu ({reason})"
        ) from error
    return torch.device(name)


def _seeded(current: CurrentTree) -> int:
    chosen: int = current.at("seed")
    seed(chosen)
    return chosen


def _host(
    current: CurrentTree,
    plugins: Callable[[], dict[str, Any]],
    reporting: Sequence[str],
) -> TrainingHost:
    """Raises NodeError for what was set wrong after composing, or can no longer be followed."""
    if current.is_changed:
        check(current.unresolved())
        if scope_names(current()) != scope_names(current.composed):
            raise NodeError("plugins", "bricks are added and taken away when composing, not later")
    named = plugins()
    for name, plugin in named.items():
        if hasattr(plugin, "scalars") and name not in reporting:
            raise NodeError(
                f"plugins.{name}",
                f"a {type(plugin).__name__} reports scalars, but nobody would read them: let "
                "_target_ name the class itself, under plugins",
            )
    return TrainingHost(named, seed=current.at("seed"))


def _built_at(
    path: str, current: CurrentTree, scope: Mapping[str, Any], seeded: Callable[[], int]
) -> Any:
    seeded()
    try:
        return build(path, current.at(path), scope)
    except OSError as error:
        if isinstance(error, ConfigError) or not path.startswith("data."):
            raise
        raise DataError(f"{path}: {error}") from error


def _with_functions(data: Mapping[str, Any], scope: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the data, with the functions that the nodes of its loaders make."""
    return {**data, "loaders": built("data.loaders", data.get("loaders"), scope)}


def _parameters(model: Any, feed: Any) -> list[Any]:
    """Those of a model that its feed has moved: some optimizers make their state at once."""
    return list(model.parameters())


def _told(dataset: Any, name: str) -> Any:
    if not hasattr(dataset, name):
        raise NodeError(
            "data.model_kwargs",
            f"the train data set, a {type(dataset).__name__}, has no attribute '{name}'; give it "
            f"one, or set the parameter that needs it",
        )
    return getattr(dataset, name)


def _refuse_taken(bricks: Mapping[str, str], told: Sequence[str]) -> None:
    owned = {*dir(App()), "data", "host", "tree", *FROM_THE_DATA, *FROM_THE_APP, *told}
    for name, path in bricks.items():
        if name in owned or (path != name and name in BRICKS):
            raise NodeError(path, f"the name '{name}' is taken; choose another")
