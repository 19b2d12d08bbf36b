"""Counting epochs, steps and samples."""

from __future__ import annotations

from legoloop.loop.plugin import State
from legoloop.loop.step import Step


class Counter:
    """Counts the epochs, steps and samples of the training.

    ``left_out`` counts those of the steps that a gradient scaler left out: a schedule of learning
    rates does not move for them.

    >>> counter, step = Counter(), Step()
    >>> step.size = 32
    >>> counter.batch_end(step)
    >>> counter.steps, counter.samples, counter.epochs
    (1, 32, 0)
    """

    supports_ranks = True
    supports_members = True

    def __init__(self) -> None:
        self.epochs = 0
        self.steps = 0
        self.samples = 0
        self.left_out = 0

    def batch_end(self, step: Step) -> None:
        self.steps += 1
        self.samples += step.size
        self.left_out += step.is_left_out

    def epoch_end(self) -> None:
        self.epochs += 1

    def state_dict(self) -> State:
        """The counts."""
        return dict(vars(self))

    def load_state_dict(self, state: State) -> None:
        vars(self).update(state)
