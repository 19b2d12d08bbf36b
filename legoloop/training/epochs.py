"""What an epoch is, and how many there are."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from legoloop.core.arguments import at_least
from legoloop.core.batch_size import DefaultBatchDesc
from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.protocols import Batch, BatchSizer, TrainingProgress
from legoloop.loop.plugin import ShouldStop, State

log = logging.getLogger("legoloop")


class SimpleEpoch:
    """An epoch is so many samples of one endless stream of batches.

    It ends with the batch that reaches ``epoch_size``; None stands for one pass of a stream that
    knows its number of ``samples``. Raises ArgumentError if the size is less than 1, or unknown,
    and DataError if the stream ends.

    >>> from itertools import repeat
    >>> epoch = SimpleEpoch(repeat({"x": [1, 2]}), epoch_size=3)
    >>> list(epoch.batches())
    [({'x': [1, 2]}, 2), ({'x': [1, 2]}, 2)]
    """

    def __init__(
        self,
        train_iterator: Iterator[Batch],
        epoch_size: int | None = None,
        batch_desc: BatchSizer | None = None,
    ) -> None:
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

    def epoch_start(self) -> None:
        """A new epoch."""
        self.samples = 0

    def batches(self) -> Iterator[tuple[Batch, int]]:
        """The batches that are left of the epoch, each with its number of samples."""
        while self.samples < self.epoch_size:
            batch = next(self.train_iterator, None)
            if batch is None:
                raise DataError(
                    f"the training stream, a {type(self.train_iterator).__name__}, has ended; "
                    "give an endless one"
                )
            size = self.batch_desc(batch)
            self.samples += size
            yield batch, size
            del batch  # let go of it before the next one is fetched

    def lengths(self, num_epochs: int) -> list[int]:
        """The number of batches of each of the first epochs, told without reading any.

        They differ where batches, which never cross a pass, do not divide ``epoch_size``. Raises
        ArgumentError for a stream that cannot tell, and where samples are not what is counted.
        """
        ends = [0]
        for _ in range(num_epochs):
            ends.append(ends[-1] + self._batches_for(self.epoch_size, position=ends[-1]))
        return [end - start for start, end in pairwise(ends)]

    def batches_to(self, samples: int) -> int:
        """The number of batches that reach so many samples; raises as ``lengths`` does."""
        return self._batches_for(samples, position=0)

    def close(self) -> None:
        """Let the stream's workers go."""
        if hasattr(self.train_iterator, "close"):
            self.train_iterator.close()

    def state_dict(self) -> State:
        """The position in the epoch, and that of the stream if it knows one."""
        state: State = {"samples": self.samples}
        if hasattr(self.train_iterator, "state_dict"):
            state["train_iterator"] = self.train_iterator.state_dict()
        return state

    def load_state_dict(self, state: State) -> None:
        """Go on from that position."""
        self.samples = state["samples"]
        stream: Any = self.train_iterator
        if "train_iterator" in state and hasattr(stream, "load_state_dict"):
            stream.load_state_dict(state["train_iterator"])
        else:
            log.warning(
                "the training stream, a %s, begins anew: it has no state to go on from",
                type(stream).__name__,
            )

    def _batches_for(self, samples: int, position: int) -> int:
        stream: Any = self.train_iterator
        if not hasattr(stream, "num_batches_for"):
            raise ArgumentError(
                f"the training stream, a {type(stream).__name__}, cannot tell how many batches it "
                "will hand over; give the number of steps"
            )
        if not isinstance(self.batch_desc, DefaultBatchDesc):
            raise ArgumentError(
                f"how many batches make an epoch is not known before, since a "
                f"{type(self.batch_desc).__name__} sizes them; give the number of steps"
            )
        batches: int = stream.num_batches_for(samples, position)
        return batches


class LastEpoch:
    """Stops when so many epochs are done; none are run for 0.

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
        """A resumed run may have done them all."""
        return self._stop_if_done()

    def epoch_end(self) -> ShouldStop | None:
        """One more is done."""
        return self._stop_if_done()

    def _stop_if_done(self) -> ShouldStop | None:
        if self.counter.epochs < self.num_epochs:
            return None
        return ShouldStop(f"{self.num_epochs} epochs are done")
