"""Schedules in steps, over as many as the training has: a linear warm-up, and what follows."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Sequence
from math import cos, pi
from typing import Any, Protocol

import torch
from torch.optim.lr_scheduler import LRScheduler

from legoloop.core.arguments import at_least, probability
from legoloop.core.errors import ArgumentError

log = logging.getLogger("legoloop")


class TellsLength(Protocol):
    """An epoch driver that knows beforehand how many batches it will yield."""

    def lengths(self, num_epochs: int) -> list[int]:
        """The number of batches of each of the first epochs."""
        ...

    def batches_to(self, samples: int) -> int:
        """The number of batches that reach so many samples."""
        ...


def total_steps(
    epoch: TellsLength,
    num_epochs: int,
    num_steps: int | None = None,
    num_samples: int | None = None,
) -> int:
    """The number of steps that a training will have, computed from its data and its limits.

    Exact, and no batch is read: what it costs is the length of the data set. A time limit, early
    stopping and whatever else ends a training before is not in it. Raises ArgumentError for an
    epoch that cannot tell.

    >>> from legoloop.data.datasets import ColumnDataset
    >>> from legoloop.data.loader_config import LoaderConfig
    >>> from legoloop.data.streams import BatchStream
    >>> from legoloop.training.epochs import SimpleEpoch
    >>> data = ColumnDataset({"x": torch.zeros(10)})
    >>> epoch = SimpleEpoch(BatchStream(data, "train", 0, LoaderConfig(batch_size=4)))
    >>> total_steps(epoch, num_epochs=5), total_steps(epoch, num_epochs=5, num_steps=12)
    (15, 12)
    """
    if not hasattr(epoch, "lengths"):
        raise ArgumentError(
            f"the epoch, a {type(epoch).__name__}, has no lengths(num_epochs), so nobody knows the "
            "number of steps; give it"
        )
    at_least(0, num_epochs=num_epochs)
    ends = [sum(epoch.lengths(num_epochs))]
    if num_steps is not None:
        ends.append(num_steps)
    if num_samples is not None:
        ends.append(epoch.batches_to(num_samples))
    return min(ends)


class WarmUp(LRScheduler):
    """Rises in even steps to the rates of the optimizer, then goes on as ``after`` says.

    ``steps`` is the number of steps of the training, ``warmup`` how many of them rise: a whole
    number, or a share of all. With w of them, step number k, from 0, is made at (k + 1) / (w + 1)
    of the rate, and step w at all of it. Each parameter group keeps its proportion.

    Raises ArgumentError for values out of range.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, steps: int, warmup: int | float = 0.05
    ) -> None:
        at_least(0, steps=steps)
        self.steps = steps
        self.warmup = _number_of(warmup, steps)
        super().__init__(optimizer)

    @abstractmethod
    def after(self, done: float) -> float:
        """The share of the rate, once a share of the steps after the warm-up is done, 0 to 1."""

    def get_lr(self) -> list[Any]:
        """The rate of each parameter group for the step at hand."""
        share = self._share(self.last_epoch)
        return [rate * share for rate in self.base_lrs]

    def _share(self, step: int) -> float:
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        return self.after(min((step - self.warmup) / max(self.steps - self.warmup, 1), 1.0))


class WarmupConstant(WarmUp):
    """Warms up, and stays.

    >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> rates(WarmupConstant(opt, steps=5, warmup=3), 5)
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """

    def after(self, done: float) -> float:
        """All of it."""
        return 1.0


class _Falling(WarmUp):
    """Warms up, and falls to ``end`` times the rate along a curve from 1 to 0."""

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        steps: int,
        warmup: int | float = 0.05,
        end: float = 0.0,
    ) -> None:
        probability(end=end)
        self.end = end
        super().__init__(optimizer, steps, warmup)

    @abstractmethod
    def curve(self, done: float) -> float:
        """From 1 to 0."""

    def after(self, done: float) -> float:
        """What the curve leaves, over the end."""
        return self.end + (1 - self.end) * self.curve(done)


class WarmupLinear(_Falling):
    """Warms up, and falls in even steps to ``end`` times the rate after the last one.

    >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> rates(WarmupLinear(opt, steps=5, warmup=1), 5)
    [0.5, 1.0, 0.75, 0.5, 0.25]
    """

    def curve(self, done: float) -> float:
        """A line."""
        return 1 - done


class WarmupCosine(_Falling):
    """Warms up, and falls along a half cosine to ``end`` times the rate after the last step.

    >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> [round(rate, 3) for rate in rates(WarmupCosine(opt, steps=5, warmup=1), 5)]
    [0.5, 1.0, 0.854, 0.5, 0.146]
    """

    def curve(self, done: float) -> float:
        """Half a cosine."""
        return (1 + cos(pi * done)) / 2


class WarmupPolynomial(_Falling):
    """Warms up, and falls as a power of what is left to ``end`` times the rate.

    >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> rates(WarmupPolynomial(opt, steps=5, warmup=1, power=2.0), 5)
    [0.5, 1.0, 0.5625, 0.25, 0.0625]
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        steps: int,
        warmup: int | float = 0.05,
        end: float = 0.0,
        power: float = 2.0,
    ) -> None:
        if not power > 0:
            raise ArgumentError(f"power is {power!r}; give a number above 0")
        self.power = power
        super().__init__(optimizer, steps, warmup, end)

    def curve(self, done: float) -> float:
        """A power of what is left."""
        return float((1 - done) ** self.power)


class WarmupStep(WarmUp):
    """Warms up, and is multiplied by ``gamma`` at each of the shares ``at`` of what comes after.

    >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> rates(WarmupStep(opt, steps=5, warmup=1, at=[0.5, 0.75], gamma=0.5), 5)
    [0.5, 1.0, 1.0, 0.5, 0.25]
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        steps: int,
        warmup: int | float = 0.05,
        at: Sequence[float] = (0.5, 0.75),
        gamma: float = 0.1,
    ) -> None:
        for number, share in enumerate(at):
            probability(**{f"at[{number}]": share})
        self.at = list(at)
        self.gamma = gamma
        super().__init__(optimizer, steps, warmup)

    def after(self, done: float) -> float:
        """Once for each share that is reached."""
        return float(self.gamma ** sum(done >= share for share in self.at))


def rates(scheduler: LRScheduler, steps: int) -> list[float]:
    """The rate of the first parameter group at each step, no step being made; uses it up.

    >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> rates(torch.optim.lr_scheduler.ExponentialLR(opt, gamma=0.5), 3)
    [1.0, 0.5, 0.25]
    """
    group = scheduler.optimizer.param_groups[0]
    seen: list[float] = []
    # Torch warns of a move before the first step, and none is ever made here.
    scheduler.optimizer._opt_called = True  # type: ignore[attr-defined]
    for _ in range(steps):
        if seen:
            scheduler.step()
        seen.append(float(group["lr"]))
    return seen


def _number_of(warmup: int | float, steps: int) -> int:
    if isinstance(warmup, float) and 0 <= warmup < 1:
        return round(warmup * steps)
    if isinstance(warmup, float | bool) or warmup < 0:
        raise ArgumentError(
            f"warmup is {warmup!r}; give a whole number of steps, or a share from 0 to below 1"
        )
    if warmup > steps:
        log.warning("warmup is %d, but the training has %d steps in all", warmup, steps)
    return warmup
