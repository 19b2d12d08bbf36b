"""The mean training loss of an epoch."""

from __future__ import annotations

from legoloop.core.protocols import Scalars
from legoloop.loop.plugin import State
from legoloop.loop.step import Step
from legoloop.training.running_mean import RunningMean


class TrainLoss:
    """ScalarSource of the mean training loss of an epoch, as it was during training.

    Each loss counts by the samples of its step. The device is waited for only when a writer reads
    the mean.

    Args:
        tag: the name of the scalar.

    >>> import torch
    >>> loss, step = TrainLoss(), Step()
    >>> step.loss, step.size = torch.tensor(2.0), 3
    >>> loss.batch_end(step)
    >>> loss.scalars()
    {'loss': 2.0}
    """

    supports_ranks = True
    supports_members = True

    def __init__(self, tag: str = "loss") -> None:
        self.mean = RunningMean(tag)

    def epoch_start(self) -> None:
        self.mean.reset()

    def batch_end(self, step: Step) -> None:
        self.mean.add_loss(step)

    def scalars(self) -> Scalars:
        """The mean loss of the epoch so far; empty before the first batch."""
        return self.mean.scalars()

    def state_dict(self) -> State:
        """The weighted sum and its weight."""
        return {"total": self.mean.total, "samples": self.mean.weight}

    def load_state_dict(self, state: State) -> None:
        self.mean.load(state["total"], state["samples"])
