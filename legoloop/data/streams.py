"""An endless, seeded stream of batches with a position."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import torch

from legoloop.core.protocols import Batch
from legoloop.data.fetching import Cut, Fetcher
from legoloop.data.loader_config import LoaderConfig
from legoloop.data.positional_rng import PositionalRng, shuffled
from legoloop.data.sampling import order_of_pass


class BatchStream:
    """Pass after pass over a data set, each in its own order, a function of (seed, name, pass).

    Batches never cross a pass, so the last one of a pass may be short. ``position`` counts the
    batches handed over, and setting it costs the same wherever it points: the batch at a position
    depends on nothing that came before. With a ``device`` that is a GPU, batches are copied to it
    ahead.

    >>> import torch
    >>> from legoloop.data.datasets import ColumnDataset
    >>> data = ColumnDataset({"x": torch.arange(4)})
    >>> loop = BatchStream(data, name="train", seed=0, config=LoaderConfig(batch_size=3))
    >>> first = next(loop)["x"]
    >>> len(next(loop)["x"]), loop.position
    (1, 2)
    >>> loop.load_state_dict({"position": 0})
    >>> bool((next(loop)["x"] == first).all())
    True
    """

    def __init__(
        self,
        dataset: Any,
        name: str,
        seed: int,
        batching: LoaderConfig,
        device: torch.device | None = None,
    ) -> None:
        self.name = name
        self.position = 0
        self._seed = seed
        self._samples = len(dataset)
        self._batch_size = batching.batch_size
        self._eval_batch_size = batching.for_evaluation
        self._shuffle = batching.shuffle
        self._sampler = batching.sampler
        self._fetcher = Fetcher(dataset, name, PositionalRng(seed, name), batching, device)
        self._batches: Iterator[Batch] | None = None

    @property
    def samples(self) -> int:
        """The number of samples of a pass."""
        return self._samples

    def __iter__(self) -> BatchStream:
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
        """The first samples of the loop's first pass, at most one pass; its position stays.

        They are looked at, so they come in batches of the ``eval_batch_size``.
        """
        wanted = self._samples if samples is None else min(samples, self._samples)
        return self._fetcher.over(self._first_cuts(wanted))

    def num_batches_for(self, samples: int, position: int = 0) -> int:
        """How many batches, from a position on, it takes to hand over so many samples."""
        a_pass = self._batches_of_pass
        begun = position % a_pass
        rest = self._samples - begun * self._batch_size
        if samples <= rest:
            return -(-samples // self._batch_size)
        passes, more = divmod(samples - rest, self._samples)
        return a_pass - begun + passes * a_pass + -(-more // self._batch_size)

    def batch_size_at(self, position: int) -> int:
        """The number of samples of the batch at a position."""
        begun = position % self._batches_of_pass * self._batch_size
        return min(self._batch_size, self._samples - begun)

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
        begin = number * self._samples
        for first, indices in _cut(self._order(number), self._batch_size):
            yield begin + first, indices

    def _first_cuts(self, wanted: int) -> Iterator[Cut]:
        yield from _cut(self._order(0)[:wanted], self._eval_batch_size)

    def _order(self, number: int) -> torch.Tensor:
        if self._sampler is not None:
            dataset = self._fetcher.dataset
            order = order_of_pass(self._sampler, dataset, self._seed, self.name, number)
        elif self._shuffle:
            order = shuffled(self._seed, self.name, number, self._samples)
        else:
            order = torch.arange(self._samples)
        return order.to(self._fetcher.reads_on, non_blocking=True)


def _cut(order: torch.Tensor, batch_size: int) -> Iterator[Cut]:
    samples = len(order)
    for first in range(0, samples, batch_size):
        yield first, order.narrow(0, first, min(batch_size, samples - first))
