"""The learning rates of a configuration, plotted without training.

The optimizer is built, and the model and the train data for it; no sample is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.wiring.container import make_app
from legoloop.core.errors import ConfigError, DataError
from legoloop.loop.plan import drives
from legoloop.training.limits import LastSample, LastStep
from legoloop.training.schedules.lr_plot import ascii_plot, planned_rates
from legoloop.training.schedules.lr_plugins import LRScheduler
from legoloop.training.schedules.total_steps import total_steps

T = TypeVar("T")


def schedule_text(blueprint: Blueprint) -> str:
    """A curve for each plugin that moves a scheduler, over the steps of the training.

    Raises ConfigError if there is none, or if it is not known beforehand.
    """
    classes = {
        name: cls
        for name in blueprint.plugin_order
        if (cls := blueprint.plugin_class(name)) is not None
    }
    moving = [name for name, cls in classes.items() if issubclass(cls, LRScheduler)]
    if not moving:
        raise ConfigError(
            "there is no curve: the rate stays as it is, or follows what is measured", key="show"
        )
    driver = next((name for name, cls in classes.items() if drives(cls)), None)
    if driver is None:
        raise ConfigError(
            "there is no curve: no plugin drives the epochs with batches()", key="show"
        )
    app = make_app(blueprint)
    try:
        lengths = _lengths(blueprint, app, app.providers[driver]())
        return "\n\n".join(_curve(name, app.providers[name](), lengths) for name in moving)
    except DataError as error:
        raise ConfigError(f"show=schedule needs the train data: {error}") from error


def _lengths(blueprint: Blueprint, app: Any, epoch: Any) -> list[int]:
    """The number of steps of each epoch, up to the first limit."""
    num_epochs = blueprint.settings.num_epochs
    last_step = _plugin(blueprint, app, LastStep)
    last_sample = _plugin(blueprint, app, LastSample)
    steps = total_steps(
        epoch,
        num_epochs,
        num_steps=last_step.num_steps if last_step is not None else None,
        num_samples=last_sample.num_samples if last_sample is not None else None,
    )
    if steps == 0:
        raise ConfigError("there is no curve: the training has no step", key="show")
    return list(_cut(epoch.lengths(num_epochs), steps))


def _plugin(blueprint: Blueprint, app: Any, kind: type[T]) -> T | None:
    """The plugin of a class, by whatever name it has."""
    for name in blueprint.plugin_order:
        cls = blueprint.plugin_class(name)
        if cls is not None and issubclass(cls, kind):
            made: T = app.providers[name]()
            return made
    return None


def _cut(lengths: Sequence[int], steps: int) -> Iterator[int]:
    for length in lengths:
        if steps <= 0:
            return
        yield min(length, steps)
        steps -= length


def _curve(name: str, plugin: LRScheduler, lengths: Sequence[int]) -> str:
    rates = planned_rates(plugin, lengths)
    return (
        f"{name}: {type(plugin.scheduler).__name__}, moved once per {plugin.interval}; "
        f"{len(lengths)} epochs, {sum(lengths)} steps\n"
        f"first {rates[0]:.4g}, greatest {max(rates):.4g} at step {rates.index(max(rates))}, "
        f"last {rates[-1]:.4g}\n{ascii_plot(rates)}"
    )
