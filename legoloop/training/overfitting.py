"""Learning a few batches by heart: what cannot do that, will not learn the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import deepcopy
from itertools import accumulate, islice
from math import isnan

import torch

from legoloop.core.arguments import at_least
from legoloop.core.batch_size import DefaultBatchDesc
from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.monitor import as_list, latest_scalar
from legoloop.core.protocols import Batch, RewindableStream, ScalarSource
from legoloop.loop.plugin import ShouldStop, State


class RepeatedBatches:
    """The first batches of a loop, over and over, each augmented as the first time.

    A stream to train on, in place of the loop; the loop is not moved. Raises ArgumentError for less
    than one batch.

    >>> class Numbers:
    ...     def first(self, samples=None): return ({"x": [n]} for n in range(9))
    >>> batches = RepeatedBatches(Numbers(), num_batches=2)
    >>> [next(batches)["x"] for _ in range(3)]
    [[0], [1], [0]]
    """

    def __init__(self, train_iterator: RewindableStream, num_batches: int = 2) -> None:
        at_least(1, num_batches=num_batches)
        self.position = 0
        self._batches = list(islice(train_iterator.first(None), num_batches))
        sizes = map(DefaultBatchDesc(), self._batches)
        self._ends = list(accumulate(sizes))

    @property
    def samples(self) -> int:
        """The number of samples of all of the batches."""
        return self._ends[-1]

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        batch = self._batches[self.position % len(self._batches)]
        self.position += 1
        return _copied(batch)

    def num_batches_for(self, samples: int, position: int = 0) -> int:
        """How many batches, from a position on, it takes to hand over so many samples."""
        begun = position % len(self._batches)
        before = [0, *self._ends][begun]
        whole, rest = divmod(before + samples, self.samples)
        needed = sum(end < rest for end in self._ends) + (rest > 0)
        return whole * len(self._batches) + needed - begun

    def state_dict(self) -> State:
        """How many batches were handed over."""
        return {"position": self.position}

    def load_state_dict(self, state: State) -> None:
        """Go on from there."""
        self.position = state["position"]


def _copied(batch: Batch) -> Batch:
    """A batch of its own: model, loss or a plugin may write into it, and it comes again."""
    return {
        key: value.clone() if isinstance(value, torch.Tensor) else deepcopy(value)
        for key, value in batch.items()
    }


class OverfitCheck:
    """Ends the training once a loss is near zero after an epoch, and fails if it never is.

    ``metric`` is a scalar of one of the sources, near zero if it is ``below`` this. Raises
    ArgumentError for a limit that is not above 0, and DataError when the training is over and the
    scalar has not got there.

    >>> class Told:
    ...     def scalars(self): return {"loss": 0.001}
    >>> OverfitCheck(Told()).epoch_end().reason
    'loss is 0.001, near zero'
    """

    def __init__(
        self,
        sources: ScalarSource | Iterable[ScalarSource],
        metric: str = "loss",
        below: float = 0.01,
    ) -> None:
        if not below > 0:
            raise ArgumentError(f"below is {below}; give a number above 0")
        self.sources = as_list(sources)
        self.metric = metric
        self.below = below
        self.value: float | None = None

    def epoch_end(self) -> ShouldStop | None:
        """Look at the loss of the epoch."""
        self.value = latest_scalar(self.sources, self.metric, "overfitting")
        if self.value >= self.below or isnan(self.value):
            return None
        return ShouldStop(f"{self.metric} is {self.value:.3g}, near zero")

    def train(self) -> None:
        """There it is, or it never will be."""
        if self.value is None or not self.value < self.below:
            reached = "was never seen" if self.value is None else f"is {self.value:.3g} at the end"
            raise DataError(
                f"{self.metric} {reached}, and not below {self.below:g}: a few batches are not "
                "learnt by heart; look at model, loss and learning rate, or train longer"
            )

    def state_dict(self) -> State:
        """The loss of the last epoch."""
        return {"value": self.value}

    def load_state_dict(self, state: State) -> None:
        """Go on from there."""
        self.value = state["value"]
