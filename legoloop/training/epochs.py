"""The epoch driver, and the number of epochs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

from legoloop.core.arguments import at_least
from legoloop.core.batch_size import DefaultBatchDesc
from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.protocols import Batch, BatchSizer, TrainingProgress
from legoloop.core.ranks import current_ranks
from legoloop.loop.plugin import ShouldStop, State

log = logging.getLogger("legoloop")


class SimpleEpoch:
    """Epoch driver: an epoch is a number of samples from an endless stream of batches.

    It ends with the batch that reaches ``epoch_size``.

    Args:
        train_iterator: the stream, such as a BatchStream.
        epoch_size: samples per epoch, as ``batch_desc`` counts them; None: the ``samples`` that
            the stream has when the epoch begins, which is one pass.
        batch_desc: ``batch_desc(batch)`` gives the size of a batch; None: its samples.

    Raises ArgumentError for a size that is less than 1 or unknown, and for a stream that is no
    iterator, such as a DataLoader; DataError if the stream ends.

    >>> from itertools import repeat
    >>> epoch = SimpleEpoch(repeat({"x": [1, 2]}), epoch_size=3)
    >>> list(epoch.batches())
    [({'x': [1, 2]}, 2), ({'x': [1, 2]}, 2)]
    """

    supports_ranks = True
    supports_members = True

    def __init__(
        self,
        train_iterator: Iterator[Batch],
        epoch_size: int | None = None,
        batch_desc: BatchSizer | None = None,
    ) -> None:
        if not hasattr(train_iterator, "__next__"):
            raise ArgumentError(
                f"is a {type(train_iterator).__name__}, which is no iterator",
                argument="train_iterator",
                remedy="give a BatchStream of its data set, a LoaderStream of a DataLoader, or an "
                "endless iterator",
            )
        self._is_one_pass = epoch_size is None
        if epoch_size is None and isinstance(batch_desc, DefaultBatchDesc | None):
            epoch_size = getattr(train_iterator, "samples", None)
        if epoch_size is None:
            counted = "its samples" if batch_desc is None else "what the batch_desc counts"
            raise ArgumentError(
                f"is None, but the stream does not know {counted}", argument="epoch_size"
            )
        at_least(1, epoch_size=epoch_size)
        self.train_iterator = train_iterator
        self.epoch_size = epoch_size
        self.batch_desc = batch_desc or DefaultBatchDesc()
        self.samples = 0
        self.step_ratio = Fraction(1)  # steps that make one of the run whose state was loaded

    def epoch_start(self) -> None:
        self.samples = 0

    def batches(self) -> Iterator[tuple[Batch, int]]:
        """The remaining batches of the epoch, each with its size."""
        if self._is_one_pass:
            self.epoch_size = self.train_iterator.samples  # type: ignore[attr-defined]
        while self.samples < self.epoch_size:
            batch = next(self.train_iterator, None)
            if batch is None:
                raise DataError(
                    f"the training stream, a {type(self.train_iterator).__name__}, has ended; "
                    "give an endless one"
                )
            share = getattr(batch, "share", None)
            size = self.batch_desc(batch) if share is None else self._size_on_all_ranks(batch)
            self.samples += size
            yield batch, size
            del batch  # free it before the next one is fetched

    def _size_on_all_ranks(self, batch: Any) -> int:
        if isinstance(self.batch_desc, DefaultBatchDesc):
            return int(batch.share.whole)
        own = 0 if batch.share.is_borrowed else self.batch_desc(batch)
        return int(current_ranks().total(own))

    def lengths(self, num_epochs: int) -> list[int]:
        """The number of batches of each of the first epochs, computed without reading any.

        They differ where batches, which never cross a pass, do not divide ``epoch_size``. Raises
        ArgumentError for a stream that cannot compute it, and with a ``batch_desc`` of another
        kind.
        """
        if hasattr(self.train_iterator, "lengths"):
            size = None if self._is_one_pass else self.epoch_size
            lengths: list[int] = self.train_iterator.lengths(num_epochs, size)
            return lengths
        ends = [0]
        for _ in range(num_epochs):
            ends.append(ends[-1] + self._batches_for(self.epoch_size, position=ends[-1]))
        return [end - start for start, end in pairwise(ends)]

    def batches_to(self, samples: int) -> int:
        """The number of batches that reach so many samples; raises like ``lengths``."""
        return self._batches_for(samples, position=0)

    def close(self) -> None:
        """Stop the workers of the stream."""
        if hasattr(self.train_iterator, "close"):
            self.train_iterator.close()

    def state_dict(self) -> State:
        """The position in the epoch, and the state of the stream if it has one."""
        state: State = {"samples": self.samples}
        if hasattr(self.train_iterator, "state_dict"):
            state["train_iterator"] = self.train_iterator.state_dict()
        return state

    def load_state_dict(self, state: State) -> None:
        """Continue from that position."""
        self.samples = state["samples"]
        stream: Any = self.train_iterator
        if "train_iterator" in state and hasattr(stream, "load_state_dict"):
            stream.load_state_dict(state["train_iterator"])
            before = state["train_iterator"].get("position")
            if before:
                self.step_ratio = Fraction(getattr(stream, "position", before), before)
        else:
            log.warning(
                "the training stream, a %s, starts from its beginning: it has no load_state_dict",
                type(stream).__name__,
            )

    def _batches_for(self, samples: int, position: int) -> int:
        stream: Any = self.train_iterator
        if not hasattr(stream, "num_batches_for"):
            raise ArgumentError(
                f"the training stream, a {type(stream).__name__}, has no num_batches_for(samples, "
                "position) to compute the number of steps from; give the number of steps"
            )
        if not isinstance(self.batch_desc, DefaultBatchDesc):
            raise ArgumentError(
                f"the number of batches per epoch cannot be computed, since a "
                f"{type(self.batch_desc).__name__} sizes them; give the number of steps"
            )
        batches: int = stream.num_batches_for(samples, position)
        return batches


class LastEpoch:
    """Stops after a number of epochs.

    Args:
        counter: counts the epochs.
        num_epochs: the number of epochs; 0: none is run.

    Raises ArgumentError for a negative number.

    >>> from legoloop.training.counter import Counter
    >>> counter = Counter()
    >>> counter.epochs = 8
    >>> LastEpoch(counter, 8).epoch_end()
    ShouldStop(reason='8 epochs are done')
    """

    def __init__(self, counter: TrainingProgress, num_epochs: int) -> None:
        at_least(0, num_epochs=num_epochs)
        self.counter = counter
        self.num_epochs = num_epochs

    def train_start(self) -> ShouldStop | None:
        """Stop at once if a resumed run is there already."""
        return self._stop_if_done()

    def epoch_end(self) -> ShouldStop | None:
        return self._stop_if_done()

    def _stop_if_done(self) -> ShouldStop | None:
        if self.counter.epochs < self.num_epochs:
            return None
        return ShouldStop(f"{self.num_epochs} epochs are done")
