"""The small protocols through which the brick folders meet."""

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
class Source(Protocol):
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
    """Tells how many samples a batch holds."""

    def __call__(self, batch: Batch) -> int:
        """The number of samples."""
        ...


class RewindableStream(Protocol):
    """An endless stream of batches that can also be looked at from its beginning."""

    def __iter__(self) -> Iterator[Batch]: ...

    def __next__(self) -> Batch: ...

    def peek(self, samples: int | None) -> Iterator[Batch]:
        """The first samples of the loop's own first pass, leaving its position alone."""
        ...


class TrainingProgress(Protocol):
    """How far the training has come."""

    epochs: int
    steps: int
    samples: int


class Evaluation(Protocol):
    """Hands out what accumulated over each data set at the moment of asking."""

    @property
    def at(self) -> str:
        """The stage at which its metrics are taken: ``epoch_end`` or ``train_end``."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The data sets that it covers."""
        ...

    def accumulated(self, name: str) -> Arrays:
        """What the accumulators collected over one data set."""
        ...


class StreamingEvaluation(Protocol):
    """Hands out what an evaluation finds batch by batch, keeping none of it."""

    @property
    def at(self) -> str:
        """The stage at which its metrics are taken: ``epoch_end`` or ``train_end``."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The data sets that it covers."""
        ...

    def streamed(self, name: str, keys: Sequence[str]) -> Iterator[Arrays]:
        """These entries of the batches and the outputs over one data set."""
        ...
