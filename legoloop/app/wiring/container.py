"""The container of one run, its providers declared from the blueprint."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from dependency_injector import containers, providers

from legoloop.app.config.binding import calls_in
from legoloop.app.config.blueprint import Blueprint
from legoloop.app.config.components import (
    APP_PROVIDERS,
    DATA_PROVIDERS,
    TRAIN,
)
from legoloop.app.config.validate import trains_loss
from legoloop.app.wiring.build import Scope, build, build_nested
from legoloop.app.wiring.current_blueprint import CurrentBlueprint
from legoloop.core.errors import ConfigError, DataError
from legoloop.core.ranks import current_ranks
from legoloop.core.rng import seed
from legoloop.core.text import shorten
from legoloop.data.container import Data
from legoloop.loop.host import TrainingHost

log = logging.getLogger("legoloop")


class App(containers.DeclarativeContainer):
    """The container of one run.

    ``make_app`` adds a provider for every component, plugin and logger of the blueprint, under its
    own name, ``host``, and ``blueprint``, with the values as they stand. Set a value
    (``app.config.optimizer.lr.from_value(0.1)``) or override a provider
    (``app.model.override(...)``) before the first use, and it takes effect everywhere.
    """

    config = providers.Configuration(strict=True)


def make_app(blueprint: Blueprint, from_data: Mapping[str, Any] | None = None) -> Any:
    """The container that a blueprint describes; nothing is built yet.

    The first component that is built seeds the generators.

    Args:
        blueprint: of a run.
        from_data: attributes of the train data set that are known, so that models are built
            without it.

    Raises ConfigError for a name that the container needs itself.
    """
    app = App()
    current = CurrentBlueprint(blueprint, read=app.config)
    app.config.from_dict(deepcopy(blueprint.tree))
    _check_names(app, blueprint)
    scope: dict[str, providers.Provider[Any]] = {}
    seeded = providers.Singleton(_seeded, current)

    def component(name: str) -> providers.Provider[Any]:
        return providers.Singleton(_component, name, current, scope, seeded.provider)

    def dataset(name: str) -> providers.Provider[Any]:
        return providers.Singleton(_dataset, name, current, scope, seeded.provider)

    device = providers.Singleton(find_device, providers.Callable(lambda: current().settings.device))
    data = providers.Container(
        Data,
        config=providers.Callable(_data_config, current, scope),
        device=device,
        datasets=providers.Dict({name: dataset(name) for name in blueprint.datasets}),
    )
    made: dict[str, Any] = {
        "data": data,
        "device": device,
        "variation": providers.Callable(lambda: current().variation),
        **{name: component(name) for name in blueprint.components},
    }
    given_to_loss = calls_in(blueprint.components.get("loss"))
    made["params"] = providers.Singleton(
        _parameters,
        made.get("model"),
        made.get("feed"),
        made["loss"] if trains_loss(blueprint.components) else None,
        providers.List(
            *[
                made[name]
                for call in given_to_loss
                for name in call.dependencies.values()
                if name in blueprint.components
            ]
        ),
        device,
    )
    for name, members in blueprint.lists.items():
        made[name] = providers.List(*[made[member] for member in members])
    plugins = providers.Dict({name: made[name] for name in blueprint.plugin_order})
    made["host"] = providers.Singleton(_host, current, plugins.provider)
    app.set_providers(**made, blueprint=providers.Callable(current))
    scope.update({name: made[name] for name in (*blueprint.components, *APP_PROVIDERS)})
    scope.update({name: data.container.providers[name] for name in DATA_PROVIDERS[:3]})
    has_train = TRAIN in blueprint.datasets
    scope["train_iterator"] = (
        data.loop_iters.provided[TRAIN] if has_train else providers.Object(None)
    )
    known = from_data or {}
    for name in blueprint.data.model_kwargs:
        asked = providers.Callable(_model_kwarg, data.datasets.provided[TRAIN], name)
        scope[name] = providers.Object(known[name]) if name in known else asked
    return app


def find_device(name: str) -> Any:
    """The torch device of a name; ``auto`` is a GPU if there is one.

    Raises ConfigError for a device that is not there.

    >>> find_device("cpu")
    device(type='cpu')
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"'{name}' cannot be used; give auto or cpu ({reason})", key="device"
        ) from error
    return torch.device(name)


def _seeded(current: CurrentBlueprint) -> int:
    chosen = current().settings.seed
    seed(chosen)
    return chosen


def _host(current: CurrentBlueprint, plugins: Callable[[], dict[str, Any]]) -> TrainingHost:
    """Raises ConfigError for what was set wrong after composing, or can no longer be followed."""
    blueprint = current()
    named = plugins()
    for name, plugin in named.items():
        if hasattr(plugin, "scalars") and name not in blueprint.lists["sources"]:
            raise ConfigError(
                f"a {type(plugin).__name__} reports scalars, but nothing would read them: let "
                "_target_ name the class itself, under plugins",
                key=f"plugins.{name}",
            )
    return TrainingHost(named, seed=blueprint.settings.seed, edges=blueprint.edges)


def _component(
    name: str, current: CurrentBlueprint, scope: Scope, seeded: Callable[[], int]
) -> Any:
    blueprint = current()
    seeded()
    return build(blueprint.components[name], scope)


def _dataset(name: str, current: CurrentBlueprint, scope: Scope, seeded: Callable[[], int]) -> Any:
    blueprint = current()
    seeded()
    call = blueprint.datasets[name]
    try:
        return build(call, scope)
    except OSError as error:
        if isinstance(error, ConfigError):
            raise
        raise DataError(f"{call.path}: {error}") from error


def _data_config(current: CurrentBlueprint, scope: Scope) -> dict[str, Any]:
    """The settings of the data, with the functions that the nodes of its loaders make."""
    blueprint = current()
    return {**blueprint.tree["data"], "loaders": build_nested(blueprint.loaders, scope)}


def _parameters(model: Any, feed: Any, loss: Any, given_to_loss: list[Any], device: Any) -> Any:
    """Those of a model that its feed has moved: some optimizers make their state at once.

    Where several ranks train, those that it has once it is shared out.

    Then the trainable ones of the loss, without those of other components that it was given.
    """
    from torch import nn

    if (parallel := current_ranks().parallel) is not None:
        parallel.prepare(model)
    parameters = list(model.parameters())
    if isinstance(loss, nn.Module):
        others = [module for module in given_to_loss if isinstance(module, nn.Module)]
        known = {id(weight) for module in (model, *others) for weight in module.parameters()}
        own = {
            name: weight
            for name, weight in loss.to(device).named_parameters()
            if weight.requires_grad and id(weight) not in known
        }
        parameters.extend(own.values())
        if own:
            log.info("the optimizer trains parameters of the loss too: %s", shorten(own))
    return parameters


def _model_kwarg(dataset: Any, name: str) -> Any:
    if not hasattr(dataset, name):
        raise ConfigError(
            f"the train data set, a {type(dataset).__name__}, has no attribute '{name}'; give it "
            f"one, or set the parameter that needs it",
            key="data.model_kwargs",
        )
    return getattr(dataset, name)


def _check_names(app: App, blueprint: Blueprint) -> None:
    taken = {*dir(app), "data", "host", "blueprint"}
    for name, call in blueprint.components.items():
        if name in taken:
            raise ConfigError(f"the name '{name}' is taken; choose another", key=call.path)
