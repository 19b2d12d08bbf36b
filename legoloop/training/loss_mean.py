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
        self.total: torch.Tensor | None = None
        self.samples = 0

    def epoch_start(self) -> None:
        """A new mean."""
        self.total = None
        self.samples = 0

    def batch_end(self, step: Step) -> None:
        """Add the loss of these samples."""
        if self.total is None:
            self.total = torch.zeros_like(step.loss, dtype=torch.float64)
        self.total.add_(step.loss, alpha=step.size)
        self.samples += step.size

    def scalars(self) -> Scalars:
        """The mean so far; nothing before the first batch."""
        if self.total is None:
            return {}
        return {self.tag: self.total.item() / self.samples}

    def state_dict(self) -> State:
        """The sum so far."""
        return {"total": self.total, "samples": self.samples}

    def load_state_dict(self, state: State) -> None:
        """Add on from there."""
        self.total, self.samples = state["total"], state["samples"]
