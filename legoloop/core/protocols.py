"""The protocols between the packages that do not import each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

Batch = dict[str, Any]
Outputs = dict[str, Any]
Scalars = dict[str, float]
Arrays = dict[str, "np.ndarray[Any, Any]"]

Loss = Callable[[Batch, Outputs], torch.Tensor]
Metrics = Callable[[Arrays], Mapping[str, float]]


@runtime_checkable
class ScalarSource(Protocol):
    """Has scalars to report; a writer reads them whenever it writes."""

    def scalars(self) -> Mapping[str, float]:
        """The newest values by tag; empty when nothing is new."""
        ...


class FeedProtocol(Protocol):
    """Moves a batch to the device and calls the model."""

    def __call__(self, batch: Batch) -> tuple[Batch, Outputs]:
        """The batch on the device, and what the model made of it."""
        ...


class BatchSizer(Protocol):
    """Gives the number of samples in a batch."""

    def __call__(self, batch: Batch) -> int:
        """The number of samples."""
        ...


class RewindableStream(Protocol):
    """An endless stream of batches whose beginning can be read without moving it."""

    def __iter__(self) -> Iterator[Batch]: ...

    def __next__(self) -> Batch: ...

    def peek(self, samples: int | None) -> Iterator[Batch]:
        """The first samples of the loop's own first pass, leaving its position alone."""
        ...


class TrainingProgress(Protocol):
    """How far the training is, in epochs, steps and samples."""

    epochs: int
    steps: int
    samples: int


class EvaluationResults(Protocol):
    """Returns what accumulated over each data set with the weights as they are."""

    @property
    def when(self) -> str:
        """The stage at which its metrics are computed: ``epoch_end`` or ``train_end``."""
        ...

    @property
    def datasets(self) -> tuple[str, ...]:
        """The data sets that it covers."""
        ...

    def collect(self, name: str) -> Arrays:
        """What the accumulators collected over one data set."""
        ...


class StreamingEvaluation(Protocol):
    """Yields the results of an evaluation batch by batch, keeping none of them."""

    @property
    def when(self) -> str:
        """The stage at which its metrics are computed: ``epoch_end`` or ``train_end``."""
        ...

    @property
    def datasets(self) -> tuple[str, ...]:
        """The data sets that it covers."""
        ...

    def iterate(self, name: str, keys: Sequence[str]) -> Iterator[Arrays]:
        """These entries of the batches and the outputs over one data set."""
        ...
