"""The app: the container of one run, its providers made from the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dependency_injector import containers, providers
from omegaconf import DictConfig

from legoloop.app.nodes import NodeError, build, is_node
from legoloop.app.schema import BRICKS, COLLECTIONS
from legoloop.app.targets import resolve
from legoloop.app.trees import CurrentTree, Tree
from legoloop.core.errors import ConfigError, DataError
from legoloop.core.host import TrainingHost
from legoloop.data.container import Data

TRAIN = "train"
"""The name of the data set that is trained on."""

FROM_THE_DATA = ("datasets", "loaders", "loop_iters", "train_iterator")
FROM_THE_APP = ("params", "device", "sources")


class App(containers.DeclarativeContainer):
    """The container of one run.

    ``make_app`` adds a provider for every brick, plugin and logger of the configuration, under its
    own name, and ``host``. Set a value (``app.config.optimizer.lr.from_value(0.1)``) or override a
    provider (``app.model.override(...)``) before the first use, and it takes effect everywhere.
    """

    config = providers.Configuration(strict=True)


def make_app(tree: DictConfig) -> Any:
    """The app of a composed configuration.

    Raises NodeError for a name that is taken twice or that the container needs itself.
    """
    app = App()
    current = CurrentTree(tree, read=app.config)
    app.config.from_dict(current())
    bricks = dict(brick_paths(current()))
    scope: dict[str, providers.Provider[Any]] = {}

    def brick(path: str) -> providers.Provider[Any]:
        return providers.Singleton(_built_at, path, current, scope)

    data = providers.Container(
        Data,
        config=app.config.data,
        datasets=providers.Dict(
            {name: brick(f"data.datasets.{name}") for name in datasets(current())}
        ),
    )
    made: dict[str, Any] = {
        "data": data,
        "device": providers.Singleton(device, app.config.device),
        **{name: brick(path) for name, path in bricks.items()},
    }
    made["params"] = providers.Singleton(_parameters, made.get("model"))
    made["sources"] = providers.List(*[made[name] for name in sources(current())])
    made["host"] = providers.Singleton(
        TrainingHost, plugins=providers.Dict({name: made[name] for name in heard(current())})
    )
    _refuse_taken(bricks, tells(current()))
    app.set_providers(**made)
    scope.update({name: made[name] for name in (*bricks, *FROM_THE_APP)})
    scope.update({name: data.container.providers[name] for name in FROM_THE_DATA[:3]})
    scope["train_iterator"] = data.loop_iters.provided[TRAIN]
    for name in tells(current()):
        scope[name] = providers.Callable(_told, data.datasets.provided[TRAIN], name)
    return app


def scope_names(tree: Tree) -> list[str]:
    """The names that a required parameter may have to be given a part: one flat list."""
    return [*dict(brick_paths(tree)), *FROM_THE_DATA, *FROM_THE_APP, *tells(tree)]


def brick_paths(tree: Tree) -> Iterator[tuple[str, str]]:
    """The name and path of every brick: groups, then plugins and loggers by their own names."""
    for name in BRICKS:
        if tree.get(name):
            yield name, name
    for collection in COLLECTIONS:
        for name, node in sorted((tree.get(collection) or {}).items()):
            if node is not None:
                yield name, f"{collection}.{name}"


def heard(tree: Tree) -> list[str]:
    """The names of plugins and loggers in name order: they hear the stages."""
    return sorted(name for name, path in brick_paths(tree) if path.split(".")[0] in COLLECTIONS)


def sources(tree: Tree) -> list[str]:
    """The names of the plugins that report scalars."""
    plugins = tree.get("plugins") or {}
    return [
        name
        for name, path in brick_paths(tree)
        if path.startswith("plugins.")
        and is_node(plugins[name])
        and hasattr(resolve(plugins[name]["_target_"]), "scalars")
    ]


def datasets(tree: Tree) -> Mapping[str, Any]:
    """The nodes of the data sets by name."""
    return (tree.get("data") or {}).get("datasets") or {}


def tells(tree: Tree) -> list[str]:
    """What the train data set tells the model, by name."""
    return list((tree.get("data") or {}).get("tells") or ())


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


def _built_at(path: str, current: CurrentTree, scope: Mapping[str, Any]) -> Any:
    try:
        return build(path, current.at(path), scope)
    except OSError as error:
        if isinstance(error, ConfigError) or not path.startswith("data."):
            raise
        raise DataError(f"{path}: {error}") from error


def _parameters(model: Any) -> list[Any]:
    return list(model.parameters())


def _told(dataset: Any, name: str) -> Any:
    if not hasattr(dataset, name):
        raise NodeError(
            "data.tells",
            f"the train data set, a {type(dataset).__name__}, has no attribute '{name}'; give it "
            f"one, or set the parameter that needs it",
        )
    return getattr(dataset, name)


def _refuse_taken(bricks: Mapping[str, str], told: Sequence[str]) -> None:
    owned = {*dir(App()), "data", "host", *FROM_THE_DATA, *FROM_THE_APP, *told}
    for name, path in bricks.items():
        if name in owned or (path != name and name in BRICKS):
            raise NodeError(path, f"the name '{name}' is taken; choose another")
