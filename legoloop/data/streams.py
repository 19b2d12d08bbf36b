"""An endless, seeded stream of batches with a position."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice

import torch

from legoloop.core.protocols import Batch
from legoloop.data.batch_source import BatchSource
from legoloop.data.fetching import BatchIndices
from legoloop.data.positional_rng import shuffled
from legoloop.data.sampling import order_of_pass


class BatchStream(BatchSource):
    """Endless stream of batches: pass after pass over a data set, each in a new seeded order.

    The order of a pass is a function of (seed, name, number of the pass). Batches never cross a
    pass, so the last one of a pass may be short. ``position`` counts the batches that were served;
    loading another one with ``load_state_dict`` costs the same wherever it points, since a batch
    does not depend on those before it.

    Args:
        dataset: a data set of records or of batches, such as a ColumnDataset.
        name: its name, such as ``train``.
        seed: the seed of the order and of random numbers that the data set draws.
        config: batch size, workers and so on.
        device: batches are copied to it ahead of time if it is a GPU.

    Raises DataError for an empty data set.

    >>> import torch
    >>> from legoloop.data.datasets import ColumnDataset
    >>> from legoloop.data.loader_config import LoaderConfig
    >>> data = ColumnDataset({"x": torch.arange(4)})
    >>> loop = BatchStream(data, name="train", seed=0, config=LoaderConfig(batch_size=3))
    >>> first = next(loop)["x"]
    >>> len(next(loop)["x"]), loop.position
    (1, 2)
    >>> loop.load_state_dict({"position": 0})
    >>> bool((next(loop)["x"] == first).all())
    True
    """

    position = 0
    _batches: Iterator[Batch] | None = None

    def __iter__(self) -> BatchStream:
        return self

    def __next__(self) -> Batch:
        if self._batches is None:
            self._batches = self._fetcher.iterate(self._indices_from(self.position))
        try:
            batch = next(self._batches)
        except BaseException:  # the batch at this position was not served, even if it was fetched
            self.close()
            raise
        self.position += 1
        return batch

    def peek(self, samples: int | None = None) -> Iterator[Batch]:
        """The first samples of the first pass, at most one pass, without moving the position.

        Args:
            samples: how many; None: a whole pass.

        Returns batches of ``eval_batch_size`` samples.
        """
        wanted = self._samples if samples is None else min(samples, self._samples)
        return self._fetcher.iterate(self._first_indices(wanted))

    def num_batches_for(self, samples: int, position: int = 0) -> int:
        """The number of batches, from a position on, that it takes to serve so many samples."""
        per_pass = self._batches_per_pass
        offset = position % per_pass
        rest = self._samples - offset * self._batch_size
        if samples <= rest:
            return -(-samples // self._batch_size)
        passes, more = divmod(samples - rest, self._samples)
        return per_pass - offset + passes * per_pass + -(-more // self._batch_size)

    def batch_size_at(self, position: int) -> int:
        """The number of samples of the batch at a position."""
        offset = position % self._batches_per_pass * self._batch_size
        return min(self._batch_size, self._samples - offset)

    def state_dict(self) -> dict[str, int]:
        """The position."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Move to a position; prefetched batches are dropped."""
        self.close()
        self.position = state["position"]

    def close(self) -> None:
        """Stop the workers; the next batch starts new ones."""
        self._batches = None

    @property
    def _batch_size(self) -> int:
        return self.config.batch_size

    @property
    def _batches_per_pass(self) -> int:
        return -(-self._samples // self._batch_size)

    def _indices_from(self, position: int) -> Iterator[BatchIndices]:
        number, offset = divmod(position, self._batches_per_pass)
        for later in count(number):
            yield from islice(self._indices_of_pass(later), offset, None)
            offset = 0

    def _indices_of_pass(self, number: int) -> Iterator[BatchIndices]:
        start = number * self._samples
        for first, indices in _split_order(self._order(number), self._batch_size):
            yield start + first, indices

    def _first_indices(self, wanted: int) -> Iterator[BatchIndices]:
        yield from _split_order(self._order(0)[:wanted], self.config.resolved_eval_batch_size)

    def _order(self, number: int) -> torch.Tensor:
        if self.config.sampler is not None:
            dataset = self._fetcher.dataset
            order = order_of_pass(self.config.sampler, dataset, self._seed, self.name, number)
        elif self.config.shuffle:
            order = shuffled(self._seed, self.name, number, self._samples)
        else:
            order = torch.arange(self._samples)
        return order.to(self._fetcher.index_device, non_blocking=True)


def _split_order(order: torch.Tensor, batch_size: int) -> Iterator[BatchIndices]:
    samples = len(order)
    for first in range(0, samples, batch_size):
        yield first, order.narrow(0, first, min(batch_size, samples - first))
