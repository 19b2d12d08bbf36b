"""The mean training loss of an epoch."""

from __future__ import annotations

from legoloop.core.protocols import Scalars
from legoloop.loop.plugin import State
from legoloop.loop.step import Step
from legoloop.training.running_mean import RunningMean


class TrainLoss:
    """A source: the mean loss over the samples of the epoch, as they were trained on.

    Takes the number if the step has it; else it sums on the device, which is asked for the sum only
    when a writer reads it.

    >>> import torch
    >>> loss, step = TrainLoss(), Step()
    >>> step.loss, step.size = torch.tensor(2.0), 3
    >>> loss.batch_end(step)
    >>> loss.scalars()
    {'loss': 2.0}
    """

    def __init__(self, tag: str = "loss") -> None:
        self.mean = RunningMean(tag)

    def epoch_start(self) -> None:
        """A new mean."""
        self.mean.clear()

    def batch_end(self, step: Step) -> None:
        """Add the loss of these samples."""
        self.mean.add_loss(step)

    def scalars(self) -> Scalars:
        """The mean so far; nothing before the first batch."""
        return self.mean.scalars()

    def state_dict(self) -> State:
        """The sum so far."""
        return {"total": self.mean.total, "samples": self.mean.weight}

    def load_state_dict(self, state: State) -> None:
        """Add on from there."""
        self.mean.take(state["total"], state["samples"])
