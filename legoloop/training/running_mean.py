"""Running mean of a scalar over the steps of an epoch."""

from __future__ import annotations

import torch

from legoloop.core.protocols import Scalars
from legoloop.loop.step import Step


class RunningMean:
    """Weighted mean of scalars, accumulated on their device; reading it waits for the device.

    Args:
        tag: the name of the mean in ``scalars``.

    >>> mean = RunningMean("loss")
    >>> mean.add(torch.tensor(2.0), weight=3)
    >>> mean.add(torch.tensor(6.0))
    >>> mean.scalars()
    {'loss': 3.0}
    """

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.reset()

    def reset(self) -> None:
        """Start a new mean."""
        self.load(0.0, 0)

    def load(self, total: float, weight: int) -> None:
        """Continue from a weighted sum and its total weight."""
        self._total: torch.Tensor | float = total
        self.weight = weight

    def add(self, scalar: torch.Tensor | float, weight: int = 1) -> None:
        """Add a scalar with a weight; a float costs less than a tensor."""
        if isinstance(scalar, float) and isinstance(self._total, float):
            self._total += weight * scalar
        else:
            self._add_on_device(torch.as_tensor(scalar), weight)
        self.weight += weight

    def add_loss(self, step: Step) -> None:
        """Add the loss of a step, weighted by its samples; as a float if the step has it."""
        value = step.loss_float
        self.add(step.loss if value is None else value, weight=step.size)

    def _add_on_device(self, scalar: torch.Tensor, weight: int) -> None:
        if isinstance(self._total, float):
            self._total = torch.full_like(scalar, self._total, dtype=torch.float64)
        self._total.add_(scalar, alpha=weight)

    @property
    def total(self) -> float:
        """The weighted sum."""
        return float(self._total)

    def scalars(self) -> Scalars:
        """The mean by its tag; empty while the total weight is 0."""
        return {self.tag: self.total / self.weight} if self.weight else {}
