"""The mean training loss of an epoch."""

from __future__ import annotations

import torch

from legoloop.core.contracts import Scalars
from legoloop.core.plugin import State
from legoloop.core.step import Step


class TrainLoss:
    """A source: the mean loss over the samples of the epoch, as they were trained on.

    Sums on the device; the number is read when a writer asks for it.

    >>> loss, step = TrainLoss(), Step()
    >>> step.loss, step.size = torch.tensor(2.0), 3
    >>> loss.batch_end(step)
    >>> loss.scalars()
    {'loss': 2.0}
    """

    def __init__(self, tag: str = "loss") -> None:
        self.tag = tag
        self.total: torch.Tensor | float = 0.0
        self.samples = 0

    def epoch_start(self) -> None:
        """A new mean."""
        self.total = 0.0
        self.samples = 0

    def batch_end(self, step: Step) -> None:
        """Add the loss of these samples."""
        if isinstance(self.total, float):
            self.total = torch.full_like(step.loss, self.total, dtype=torch.float64)
        self.total.add_(step.loss, alpha=step.size)
        self.samples += step.size

    def scalars(self) -> Scalars:
        """The mean so far; nothing before the first batch."""
        return {self.tag: float(self.total) / self.samples} if self.samples else {}

    def state_dict(self) -> State:
        """The sum so far."""
        return {"total": float(self.total), "samples": self.samples}

    def load_state_dict(self, state: State) -> None:
        """Add on from there."""
        self.total, self.samples = state["total"], state["samples"]
