"""An endless, seeded stream of batches with a position."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from typing import Any

from legoloop.core.contracts import Batch
from legoloop.data.batching import Batching, Cut, Fetcher
from legoloop.data.seeding import BorrowedRng, shuffled


class Loop:
    """Pass after pass over a data set, each in its own order, a function of (seed, name, pass).

    Batches never cross a pass, so the last one of a pass may be short. ``position`` counts the
    batches handed over, and setting it costs the same wherever it points: the batch at a position
    depends on nothing that came before.

    >>> import torch
    >>> from legoloop.data.datasets import ColumnDataset
    >>> data = ColumnDataset({"x": torch.arange(4)})
    >>> loop = Loop(data, name="train", seed=0, batching=Batching(batch_size=3))
    >>> first = next(loop)["x"]
    >>> len(next(loop)["x"]), loop.position
    (1, 2)
    >>> loop.load_state_dict({"position": 0})
    >>> bool((next(loop)["x"] == first).all())
    True
    """

    def __init__(self, dataset: Any, name: str, seed: int, batching: Batching) -> None:
        self.name = name
        self.position = 0
        self._seed = seed
        self._samples = len(dataset)
        self._batch_size = batching.batch_size
        self._shuffle = batching.shuffle
        self._fetcher = Fetcher(dataset, name, BorrowedRng(seed, name), batching)
        self._batches: Iterator[Batch] | None = None

    @property
    def samples(self) -> int:
        """The number of samples of a pass."""
        return self._samples

    def __iter__(self) -> Loop:
        return self

    def __next__(self) -> Batch:
        if self._batches is None:
            self._batches = self._fetcher.over(self._cuts_from(self.position))
        try:
            batch = next(self._batches)
        except BaseException:  # fetched or not, the batch at this position was not handed over
            self.close()
            raise
        self.position += 1
        return batch

    def first(self, samples: int | None = None) -> Iterator[Batch]:
        """The first samples of the loop's first pass, at most one pass; its position stays."""
        wanted = self._samples if samples is None else min(samples, self._samples)
        return self._fetcher.over(self._first_cuts(wanted))

    def batches_for(self, samples: int, position: int = 0) -> int:
        """How many batches, from a position on, it takes to hand over so many samples."""
        a_pass = self._batches_of_pass
        begun = position % a_pass
        rest = self._samples - begun * self._batch_size
        if samples <= rest:
            return -(-samples // self._batch_size)
        passes, more = divmod(samples - rest, self._samples)
        return a_pass - begun + passes * a_pass + -(-more // self._batch_size)

    def state_dict(self) -> dict[str, int]:
        """Where the loop stands."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a position; prefetched batches are dropped."""
        self.close()
        self.position = state["position"]

    def close(self) -> None:
        """Let the workers go; the next batch starts them anew."""
        self._batches = None

    @property
    def _batches_of_pass(self) -> int:
        return -(-self._samples // self._batch_size)

    def _cuts_from(self, position: int) -> Iterator[Cut]:
        number, begun = divmod(position, self._batches_of_pass)
        for later in count(number):
            yield from islice(self._cuts_of_pass(later), begun, None)
            begun = 0

    def _cuts_of_pass(self, number: int) -> Iterator[Cut]:
        order = self._order(number)
        for first in range(0, self._samples, self._batch_size):
            yield number * self._samples + first, order[first : first + self._batch_size]

    def _first_cuts(self, wanted: int) -> Iterator[Cut]:
        for first, indices in self._cuts_of_pass(0):
            if first >= wanted:
                return
            yield first, indices[: wanted - first]

    def _order(self, number: int) -> list[int]:
        if self._shuffle:
            return shuffled(self._seed, self.name, number, self._samples)
        return list(range(self._samples))
