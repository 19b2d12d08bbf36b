"""Overfitting a few batches, to check that a model can learn at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import deepcopy
from itertools import accumulate, islice
from math import isnan
from typing import Any

import torch

from legoloop.core.arguments import at_least
from legoloop.core.batch_size import DefaultBatchDesc
from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.monitor import as_list, latest_scalar
from legoloop.core.nested import map_nested
from legoloop.core.protocols import Batch, RewindableStream, ScalarSource
from legoloop.loop.plugin import ShouldStop, State


class RepeatedBatches:
    """Endless stream that repeats the first batches of another one, as augmented the first time.

    Args:
        train_iterator: the stream, whose position does not move.
        num_batches: the number of batches that are repeated.

    Raises ArgumentError for less than one batch.

    >>> class Numbers:
    ...     def peek(self, samples=None): return ({"x": [n]} for n in range(9))
    >>> batches = RepeatedBatches(Numbers(), num_batches=2)
    >>> [next(batches)["x"] for _ in range(3)]
    [[0], [1], [0]]
    """

    def __init__(self, train_iterator: RewindableStream, num_batches: int = 2) -> None:
        at_least(1, num_batches=num_batches)
        self.position = 0
        self._batches = list(islice(train_iterator.peek(None), num_batches))
        sizes = map(DefaultBatchDesc(), self._batches)
        self._ends = list(accumulate(sizes))

    @property
    def samples(self) -> int:
        """The number of samples of all batches."""
        return self._ends[-1]

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        batch = self._batches[self.position % len(self._batches)]
        self.position += 1
        return _copy(batch)

    def num_batches_for(self, samples: int, position: int = 0) -> int:
        """The number of batches, from a position on, that it takes to serve so many samples."""
        offset = position % len(self._batches)
        before = [0, *self._ends][offset]
        whole, rest = divmod(before + samples, self.samples)
        needed = sum(end < rest for end in self._ends) + (rest > 0)
        return whole * len(self._batches) + needed - offset

    def state_dict(self) -> State:
        """The number of batches served."""
        return {"position": self.position}

    def load_state_dict(self, state: State) -> None:
        self.position = state["position"]


def _copy(batch: Batch) -> Batch:
    """Model, loss or a plugin may write into a batch, which is served again."""
    copied: Batch = map_nested(
        lambda value: value.clone() if isinstance(value, torch.Tensor) else deepcopy(value), batch
    )
    return copied


class OverfitCheck:
    """Stops the training once a metric is below a threshold, and fails if it never gets there.

    Args:
        sources: one source of scalars or several.
        metric: the name of the scalar, read after each epoch.
        threshold: a number above 0.
        epoch: the epoch driver, whose stream is to repeat its batches; None: any stream will do.

    Raises ArgumentError for another threshold or stream, and DataError at the end of a training
    that did not get below it.

    >>> class Told:
    ...     def scalars(self): return {"loss": 0.001}
    >>> OverfitCheck(Told()).epoch_end().reason
    'loss is 0.001, below 0.01'
    """

    def __init__(
        self,
        sources: ScalarSource | Iterable[ScalarSource],
        metric: str = "loss",
        threshold: float = 0.01,
        epoch: Any = None,
    ) -> None:
        stream = getattr(epoch, "train_iterator", None)
        if stream is not None and not isinstance(stream, RepeatedBatches):
            raise ArgumentError(
                f"trains on a {type(stream).__name__}, which does not repeat a few batches",
                argument="epoch",
                remedy="give it a RepeatedBatches as train_iterator, or leave out debug=overfit",
            )
        if not threshold > 0:
            raise ArgumentError(
                f"is {threshold}", argument="threshold", remedy="give a number above 0"
            )
        self.sources = as_list(sources)
        self.metric = metric
        self.threshold = threshold
        self.value: float | None = None

    def epoch_end(self) -> ShouldStop | None:
        self.value = latest_scalar(self.sources, self.metric, "overfitting")
        if self.value >= self.threshold or isnan(self.value):
            return None
        return ShouldStop(f"{self.metric} is {self.value:.3g}, below {self.threshold:g}")

    def train(self) -> None:
        """Fail unless the metric got below the threshold."""
        if self.value is None or not self.value < self.threshold:
            reached = (
                "was never measured" if self.value is None else f"is {self.value:.3g} at the end"
            )
            raise DataError(
                f"{self.metric} {reached}, not below {self.threshold:g}: the model did not overfit "
                "a few batches; check model, loss and learning rate, or train longer"
            )

    def state_dict(self) -> State:
        """The metric of the last epoch."""
        return {"value": self.value}

    def load_state_dict(self, state: State) -> None:
        self.value = state["value"]
