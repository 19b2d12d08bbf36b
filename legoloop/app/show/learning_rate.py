"""The loss of a few steps at growing learning rates: a plot, and the rate to begin with."""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np
import torch

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.show.first_steps import EnoughError, FirstSteps, make_first_steps
from legoloop.core.errors import ConfigError, DataError
from legoloop.loop.step import Step
from legoloop.training.schedules.lr_plot import ascii_plot

LEAST, MOST, STEPS = 1e-7, 10.0, 100
SMOOTHING = 0.9
"""The share of the smoothed loss that is kept at each step."""
WORSE = 4.0
"""So many times the best loss, and it will not come back."""
WINDOW = 10
FIRST = 10
"""Steps after which the smoothed loss says something."""


class RateTest(FirstSteps):
    """Raises the learning rate at each step, and remembers the loss.

    The groups of the optimizer keep the proportions of their rates.

    Args:
        optimizer: as constructed.

    >>> weight = torch.zeros(1, requires_grad=True)
    >>> test = RateTest(torch.optim.SGD([weight], lr=0.5))
    >>> test.batch_start(Step()); test.optimizer.param_groups[0]["lr"]
    1e-07
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        super().__init__(STEPS)
        self.optimizer = optimizer
        given = [float(group["lr"]) for group in optimizer.param_groups]
        self.proportions = [rate / given[0] if given[0] else 1.0 for rate in given]
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._mean = 0.0

    def batch_start(self, step: Step) -> None:
        """Set the next rate."""
        rate = LEAST * (MOST / LEAST) ** (self.steps / (STEPS - 1))
        for group, proportion in zip(self.optimizer.param_groups, self.proportions, strict=True):
            group["lr"] = rate * proportion
        self.rates.append(rate)

    def batch_end(self, step: Step) -> None:
        """Remember the smoothed loss; raises EnoughError once it has gone astray."""
        loss = float(step.loss)
        if not step.size or not isfinite(loss):
            raise EnoughError
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * loss
        self.losses.append(self._mean / (1 - SMOOTHING ** (self.steps + 1)))
        if self.steps >= FIRST and self.losses[-1] > WORSE * min(self.losses):
            raise EnoughError
        super().batch_end(step)


def learning_rate_text(app: Any, blueprint: Blueprint) -> str:
    """The loss over the rates, and the rate at which it falls fastest.

    Args:
        app: the container that the blueprint describes.
        blueprint: of the run.

    Raises ConfigError without an optimizer, where not even a first step can be made, and where the
    loss falls at no rate.
    """
    if "optimizer" not in blueprint.components:
        raise ConfigError("there is no rate: the run has no optimizer of this name", key="show")
    test = RateTest(app.optimizer())
    try:
        make_first_steps(app, blueprint, test)
    except DataError as error:
        if not test.losses:
            raise ConfigError(f"no step can be made: {error}", key="show") from error
    fastest, smallest = _rates(test)
    if fastest is None:
        raise ConfigError(f"the loss falls at no rate from {LEAST:g} to {MOST:g}", key="show")
    return (
        f"the loss, smoothed, of {len(test.losses)} steps at rates from {test.rates[0]:.2g} to "
        f"{test.rates[len(test.losses) - 1]:.2g}\n{ascii_plot(_shown(test.losses))}\n"
        f"optimizer.lr={fastest:.2g} is where it falls fastest, {smallest:.2g} where it is least"
    )


def _rates(test: RateTest) -> tuple[float | None, float]:
    """The rate at which the loss falls fastest, None if it does not; and that of the least.

    What one step gains is noise: it is compared over a tenth of the curve.
    """
    losses = np.array(test.losses[FIRST:])
    if not len(losses):
        return None, 0.0
    least = int(losses.argmin())
    gains = losses[: max(least + 1 - WINDOW, 0)] - losses[WINDOW : least + 1]
    if not len(gains) or gains.max() <= 0:
        return None, test.rates[FIRST + least]
    return test.rates[FIRST + int(gains.argmax()) + WINDOW // 2], test.rates[FIRST + least]


def _shown(losses: list[float]) -> list[float]:
    """Cut above what it began with, since it ends with a loss that is many times as large."""
    most = max(losses[: FIRST + int(np.argmin(losses[FIRST:])) + 1])
    return [min(loss, most) for loss in losses]
