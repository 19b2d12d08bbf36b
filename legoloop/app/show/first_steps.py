"""The first steps of a run, made to measure something; nothing is written, nothing kept."""

from __future__ import annotations

from typing import Any

from legoloop.app.config.blueprint import Blueprint
from legoloop.core.errors import ConfigError
from legoloop.loop.host import TrainingHost
from legoloop.loop.lookers import only_looks
from legoloop.loop.stages import Stage, hooks_of
from legoloop.loop.step import Step
from legoloop.training.counter import Counter
from legoloop.training.schedules.lr_plugins import LRScheduler

PREPARES_STEPS = {Stage.EPOCH_START, Stage.BATCH_START, Stage.BATCH}


class EnoughError(Exception):
    """Ends the steps."""


class FirstSteps:
    """Sees the first steps, and ends them; the base of what measures something there.

    Args:
        num_steps: how many there are at most.
    """

    def __init__(self, num_steps: int) -> None:
        self.num_steps = num_steps
        self.steps = 0

    def batch_end(self, step: Step) -> None:
        """Raises EnoughError after the last step."""
        self.steps += 1
        if self.steps >= self.num_steps:
            raise EnoughError


def make_first_steps(app: Any, blueprint: Blueprint, watch: FirstSteps) -> None:
    """Train with what makes a step: the epochs, descents, transforms, and what freezes.

    Args:
        app: the container that the blueprint describes, which is of no use afterwards.
        blueprint: of the run.
        watch: sees the steps.

    Raises ConfigError for a run without epochs; and what a step raises.
    """
    driver = blueprint.epoch_driver
    if driver is None:
        raise ConfigError("there are no steps: no plugin drives the epochs", key="show")
    names = [name for name in blueprint.plugin_order if _takes_part(blueprint, name, driver)]
    plugins: dict[str, object] = {name: app.providers[name]() for name in names}
    edges = [edge for edge in blueprint.edges if set(edge) <= plugins.keys()]
    plugins["watch"] = watch
    host = TrainingHost(plugins, seed=blueprint.settings.seed, edges=edges)
    try:
        host.run()
    except EnoughError:
        return


def _takes_part(blueprint: Blueprint, name: str, driver: str) -> bool:
    kind = blueprint.plugin_class(name)
    if kind is None or name in blueprint.lists["evaluations"]:
        return False
    if name == driver or issubclass(kind, Counter):
        return True
    is_of_the_run = only_looks(kind) or issubclass(kind, LRScheduler)
    is_logger = blueprint.components[name].path.startswith("loggers.")
    return bool(PREPARES_STEPS.intersection(hooks_of(kind))) and not (is_of_the_run or is_logger)
