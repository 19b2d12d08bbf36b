"""The mean of what the steps of an epoch gave, summed where the numbers are."""

from __future__ import annotations

import torch

from legoloop.core.protocols import Scalars
from legoloop.loop.step import Step


class RunningMean:
    """A mean of scalars under a tag; the device is asked for it only when somebody reads it.

    >>> mean = RunningMean("loss")
    >>> mean.add(torch.tensor(2.0), weight=3)
    >>> mean.add(torch.tensor(6.0))
    >>> mean.scalars()
    {'loss': 3.0}
    """

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.clear()

    def clear(self) -> None:
        """Begin a new mean."""
        self.take(0.0, 0)

    def take(self, total: float, weight: int) -> None:
        """Go on from a sum and what it weighs."""
        self._total: torch.Tensor | float = total
        self.weight = weight

    def add(self, scalar: torch.Tensor | float, weight: int = 1) -> None:
        """Add a scalar, which counts so much; a number costs less than a tensor."""
        if isinstance(scalar, float) and isinstance(self._total, float):
            self._total += weight * scalar
        else:
            self._add_on_device(torch.as_tensor(scalar), weight)
        self.weight += weight

    def add_loss(self, step: Step) -> None:
        """Add the loss of a step for each of its samples; its number, if the step knows it."""
        value = step.loss_float
        self.add(step.loss if value is None else value, weight=step.size)

    def _add_on_device(self, scalar: torch.Tensor, weight: int) -> None:
        if isinstance(self._total, float):
            self._total = torch.full_like(scalar, self._total, dtype=torch.float64)
        self._total.add_(scalar, alpha=weight)

    @property
    def total(self) -> float:
        """The sum so far."""
        return float(self._total)

    def scalars(self) -> Scalars:
        """The mean so far; nothing before the first scalar that counts."""
        return {self.tag: self.total / self.weight} if self.weight else {}
