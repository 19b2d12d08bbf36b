"""The number of steps of a training, computed beforehand."""

from __future__ import annotations

from typing import Protocol

from legoloop.core.arguments import at_least
from legoloop.core.errors import ArgumentError


class HasLengths(Protocol):
    """An epoch driver that can compute how many batches it will yield."""

    def lengths(self, num_epochs: int) -> list[int]:
        """The number of batches of each of the first epochs."""
        ...

    def batches_to(self, samples: int) -> int:
        """The number of batches that reach so many samples."""
        ...


def total_steps(
    epoch: HasLengths,
    num_epochs: int,
    num_steps: int | None = None,
    num_samples: int | None = None,
) -> int:
    """The number of steps that a training will have, computed without reading a batch.

    Early stopping and a time limit may end it before.

    Args:
        epoch: the epoch driver, such as a SimpleEpoch.
        num_epochs: the number of epochs.
        num_steps: a limit on the steps, such as that of LastStep; None: no limit.
        num_samples: a limit on the samples, such as that of LastSample; None: no limit.

    Raises ArgumentError for an epoch driver or a stream that cannot compute it.

    >>> import torch
    >>> from legoloop.data.datasets import ColumnDataset
    >>> from legoloop.data.loader_config import LoaderConfig
    >>> from legoloop.data.streams import BatchStream
    >>> from legoloop.training.epochs import SimpleEpoch
    >>> data = ColumnDataset({"x": torch.zeros(10)})
    >>> epoch = SimpleEpoch(BatchStream(data, "train", 0, LoaderConfig(batch_size=4)))
    >>> total_steps(epoch, num_epochs=5), total_steps(epoch, num_epochs=5, num_steps=12)
    (15, 12)
    """
    if not hasattr(epoch, "lengths"):
        raise ArgumentError(
            f"is a {type(epoch).__name__}, which has no method lengths(num_epochs)",
            argument="epoch",
            remedy="give the number of steps",
        )
    at_least(0, num_epochs=num_epochs)
    ends = [sum(epoch.lengths(num_epochs))]
    if num_steps is not None:
        ends.append(num_steps)
    if num_samples is not None:
        ends.append(epoch.batches_to(num_samples))
    return min(ends)
