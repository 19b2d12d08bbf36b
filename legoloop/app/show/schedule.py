"""The learning rates of a configuration, plotted without training.

The optimizer is built, and the model and the train data for it; no sample is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from legoloop.app.config.blueprint import Blueprint
from legoloop.core.errors import ConfigError, DataError
from legoloop.training.limits import LastSample, LastStep
from legoloop.training.schedules.lr_plot import ascii_plot, planned_rates
from legoloop.training.schedules.lr_plugins import LRScheduler
from legoloop.training.schedules.total_steps import total_steps


def schedule_text(app: Any, blueprint: Blueprint) -> str:
    """A curve for each plugin that moves a scheduler, over the steps of the training.

    Args:
        app: the container that the blueprint describes.
        blueprint: of the run.

    Raises ConfigError if there is none, or if it is not known beforehand.
    """
    moving = blueprint.named(LRScheduler)
    if not moving:
        raise ConfigError(
            "there is no curve: the rate stays as it is, or follows what is measured", key="show"
        )
    driver = blueprint.epoch_driver
    if driver is None:
        raise ConfigError(
            "there is no curve: no plugin drives the epochs with batches()", key="show"
        )
    try:
        lengths = _lengths(blueprint, app, app.providers[driver]())
        return "\n\n".join(_curve(name, app.providers[name](), lengths) for name in moving)
    except DataError as error:
        raise ConfigError(f"show=schedule needs the train data: {error}") from error


def _lengths(blueprint: Blueprint, app: Any, epoch: Any) -> list[int]:
    """The number of steps of each epoch, up to the first limit."""
    num_epochs = blueprint.settings.num_epochs
    by_steps = [app.providers[name]().num_steps for name in blueprint.named(LastStep)]
    by_samples = [app.providers[name]().num_samples for name in blueprint.named(LastSample)]
    steps = total_steps(
        epoch,
        num_epochs,
        num_steps=min(by_steps, default=None),
        num_samples=min(by_samples, default=None),
    )
    if steps == 0:
        raise ConfigError("there is no curve: the training has no step", key="show")
    return list(_cut(epoch.lengths(num_epochs), steps))


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
