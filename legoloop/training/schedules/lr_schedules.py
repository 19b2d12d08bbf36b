"""Learning rate schedules over the steps of a training: linear warm-up, then a decay."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from math import cos, pi
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler

from legoloop.core.arguments import at_least, probability
from legoloop.core.errors import ArgumentError

log = logging.getLogger("legoloop")


class WarmupSchedule(LRScheduler):
    """Linear warm-up to the learning rate of the optimizer, then a decay of any shape.

    With w warm-up steps, step k, from 0, is made at (k + 1) / (w + 1) of the rate, and step w at
    the full rate. Each parameter group keeps its proportion. The rate depends on the number of the
    step alone. ``warmup_cosine``, ``warmup_linear`` and so on make such a schedule.

    Args:
        optimizer: the optimizer whose learning rates change.
        shape: ``shape(progress, **parameters)`` gives the factor of the rate after the warm-up;
            ``progress`` goes from 0 to 1.
        total_steps: the number of steps of the training.
        warmup_steps: how many of them are warm-up: an int, or a fraction of all, from 0 to below 1.
        **parameters: passed on to ``shape``.

    Raises ArgumentError for values out of range.

    >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> def square_root(progress): return 1 - progress**0.5
    >>> rates(WarmupSchedule(opt, square_root, total_steps=5, warmup_steps=1), 3)
    [0.5, 1.0, 0.5]
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        shape: Callable[..., float],
        total_steps: int,
        warmup_steps: int | float = 0.05,
        **parameters: Any,
    ) -> None:
        at_least(0, total_steps=total_steps)
        self.shape = shape
        self.total_steps = total_steps
        self.warmup_steps = _resolve_warmup(warmup_steps, total_steps)
        self.parameters = parameters
        super().__init__(optimizer)

    def get_lr(self) -> list[Any]:
        """The learning rate of each parameter group for the current step."""
        factor = self.factor(self.last_epoch)
        return [rate * factor for rate in self.base_lrs]

    def factor(self, step: int) -> float:
        """The factor of the learning rate at a step, counted from 0."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        progress = (step - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1)
        return self.shape(min(progress, 1.0), **self.parameters)

    def state_dict(self) -> dict[str, Any]:
        """The state without the shape, which is code."""
        return {key: value for key, value in super().state_dict().items() if key != "shape"}


def warmup_constant(
    optimizer: torch.optim.Optimizer, total_steps: int, warmup_steps: int | float = 0.05
) -> WarmupSchedule:
    """Linear warm-up, then a constant learning rate; a WarmupSchedule.

    Args:
        optimizer: the optimizer whose learning rates change.
        total_steps: the number of steps of the training.
        warmup_steps: how many of them are warm-up: an int, or a fraction of all, from 0 to below 1.

    Raises ArgumentError for values out of range.

    >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> rates(warmup_constant(opt, total_steps=5, warmup_steps=3), 5)
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """
    return WarmupSchedule(optimizer, _constant, total_steps, warmup_steps)


def warmup_linear(
    optimizer: torch.optim.Optimizer,
    total_steps: int,
    warmup_steps: int | float = 0.05,
    final_ratio: float = 0.0,
) -> WarmupSchedule:
    """Linear warm-up, then linear decay to ``final_ratio`` of the rate; a WarmupSchedule.

    Args:
        optimizer: the optimizer whose learning rates change.
        total_steps: the number of steps of the training.
        warmup_steps: how many of them are warm-up: an int, or a fraction of all, from 0 to below 1.
        final_ratio: the fraction of the rate that is left after the last step, from 0 to 1.

    Raises ArgumentError for values out of range.

    >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> rates(warmup_linear(opt, total_steps=5, warmup_steps=1), 5)
    [0.5, 1.0, 0.75, 0.5, 0.25]
    """
    probability(final_ratio=final_ratio)
    return WarmupSchedule(optimizer, _linear, total_steps, warmup_steps, final_ratio=final_ratio)


def warmup_cosine(
    optimizer: torch.optim.Optimizer,
    total_steps: int,
    warmup_steps: int | float = 0.05,
    final_ratio: float = 0.0,
) -> WarmupSchedule:
    """Linear warm-up, then cosine decay to ``final_ratio`` of the rate; a WarmupSchedule.

    Args:
        optimizer: the optimizer whose learning rates change.
        total_steps: the number of steps of the training.
        warmup_steps: how many of them are warm-up: an int, or a fraction of all, from 0 to below 1.
        final_ratio: the fraction of the rate that is left after the last step, from 0 to 1.

    Raises ArgumentError for values out of range.

    >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = warmup_cosine(opt, total_steps=5, warmup_steps=1)
    >>> [round(rate, 3) for rate in rates(schedule, 5)]
    [0.5, 1.0, 0.854, 0.5, 0.146]
    """
    probability(final_ratio=final_ratio)
    return WarmupSchedule(optimizer, _cosine, total_steps, warmup_steps, final_ratio=final_ratio)


def warmup_polynomial(
    optimizer: torch.optim.Optimizer,
    total_steps: int,
    warmup_steps: int | float = 0.05,
    final_ratio: float = 0.0,
    power: float = 2.0,
) -> WarmupSchedule:
    """Linear warm-up, then polynomial decay to ``final_ratio`` of the rate; a WarmupSchedule.

    Args:
        optimizer: the optimizer whose learning rates change.
        total_steps: the number of steps of the training.
        warmup_steps: how many of them are warm-up: an int, or a fraction of all, from 0 to below 1.
        final_ratio: the fraction of the rate that is left after the last step, from 0 to 1.
        power: the exponent of the decay, above 0.

    Raises ArgumentError for values out of range.

    >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> rates(warmup_polynomial(opt, total_steps=5, warmup_steps=1, power=2.0), 5)
    [0.5, 1.0, 0.5625, 0.25, 0.0625]
    """
    probability(final_ratio=final_ratio)
    if not power > 0:
        raise ArgumentError(f"is {power!r}", argument="power", remedy="give a number above 0")
    return WarmupSchedule(
        optimizer, _polynomial, total_steps, warmup_steps, final_ratio=final_ratio, power=power
    )


def warmup_step(
    optimizer: torch.optim.Optimizer,
    total_steps: int,
    warmup_steps: int | float = 0.05,
    milestones: Sequence[float] = (0.5, 0.75),
    gamma: float = 0.1,
) -> WarmupSchedule:
    """Linear warm-up, then the rate is multiplied by ``gamma`` at milestones; a WarmupSchedule.

    Args:
        optimizer: the optimizer whose learning rates change.
        total_steps: the number of steps of the training.
        warmup_steps: how many of them are warm-up: an int, or a fraction of all, from 0 to below 1.
        milestones: fractions of the steps after the warm-up, each from 0 to 1.
        gamma: the factor of the rate at each milestone.

    Raises ArgumentError for values out of range.

    >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> rates(warmup_step(opt, total_steps=5, warmup_steps=1, milestones=[0.5, 0.75], gamma=0.5), 5)
    [0.5, 1.0, 1.0, 0.5, 0.25]
    """
    for number, milestone in enumerate(milestones):
        probability(**{f"milestones[{number}]": milestone})
    return WarmupSchedule(
        optimizer, _step, total_steps, warmup_steps, milestones=list(milestones), gamma=gamma
    )


def _constant(progress: float) -> float:
    return 1.0


def _linear(progress: float, final_ratio: float) -> float:
    return _from_one_to(final_ratio, 1 - progress)


def _cosine(progress: float, final_ratio: float) -> float:
    return _from_one_to(final_ratio, (1 + cos(pi * progress)) / 2)


def _polynomial(progress: float, final_ratio: float, power: float) -> float:
    return _from_one_to(final_ratio, float((1 - progress) ** power))


def _step(progress: float, milestones: Sequence[float], gamma: float) -> float:
    return float(gamma ** sum(progress >= milestone for milestone in milestones))


def _from_one_to(final_ratio: float, curve: float) -> float:
    """A curve from 1 to 0, scaled to end at ``final_ratio``."""
    return final_ratio + (1 - final_ratio) * curve


def rates(scheduler: LRScheduler, steps: int) -> list[float]:
    """The learning rate of the first parameter group at each of the first steps.

    Advances the scheduler, so that nothing can be trained with it afterwards.


    >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> rates(torch.optim.lr_scheduler.ExponentialLR(opt, gamma=0.5), 3)
    [1.0, 0.5, 0.25]
    """
    group = scheduler.optimizer.param_groups[0]
    seen: list[float] = []
    # torch warns of a scheduler step before the first optimizer step, and none is made here
    scheduler.optimizer._opt_called = True  # type: ignore[attr-defined]
    for _ in range(steps):
        if seen:
            scheduler.step()
        seen.append(float(group["lr"]))
    return seen


def _resolve_warmup(warmup_steps: int | float, total_steps: int) -> int:
    if isinstance(warmup_steps, float) and 0 <= warmup_steps < 1:
        return round(warmup_steps * total_steps)
    if isinstance(warmup_steps, float | bool) or warmup_steps < 0:
        raise ArgumentError(
            f"is {warmup_steps!r}",
            argument="warmup_steps",
            remedy="give a number of steps, or a fraction of all, from 0 to below 1",
        )
    if warmup_steps > total_steps:
        log.warning(
            "warmup_steps is %d, but the training has %d steps in all", warmup_steps, total_steps
        )
    return warmup_steps
