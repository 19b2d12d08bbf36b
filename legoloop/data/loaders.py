"""A finite pass over a data set."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from legoloop.core.protocols import Batch
from legoloop.core.ranks import Ranks
from legoloop.data.batch_source import BatchSource
from legoloop.data.fetching import BatchIndices


class Loader(BatchSource):
    """One pass over a data set in its own order, every sample once; each pass is the same.

    Random numbers that the data set draws are a function of (seed, name, position).

    Args:
        dataset: a data set of records or of batches, such as a ColumnDataset.
        name: its name, such as ``val``.
        seed: the seed of random numbers that the data set draws.
        config: batch size, workers and so on; batches have ``eval_batch_size`` samples.
        device: batches are copied to it ahead of time if it is a GPU.

    Raises DataError for an empty data set.

    >>> import torch
    >>> from legoloop.data.datasets import ColumnDataset
    >>> from legoloop.data.loader_config import LoaderConfig
    >>> data = ColumnDataset({"x": torch.arange(5)})
    >>> loader = Loader(data, name="val", seed=0, config=LoaderConfig(batch_size=2))
    >>> [batch["x"].tolist() for batch in loader]
    [[0, 1], [2, 3], [4]]
    >>> len(loader)
    3
    """

    def __len__(self) -> int:
        return -(-self._samples // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return self.block(Ranks())

    def block(self, ranks: Ranks, samples: int | None = None) -> Iterator[Batch]:
        """The batches that one of the ranks evaluates.

        Args:
            ranks: how many there are, and which of them this is.
            samples: at most so many, spread evenly from the first to the last; None: all.
        """
        wanted = self._samples if samples is None else min(samples, self._samples)
        block = ranks.block(-(-wanted // self._batch_size))
        return self._fetcher.iterate(self._batch_indices(wanted, block))

    def _batch_indices(self, wanted: int, block: slice) -> Iterator[BatchIndices]:
        for first in range(0, wanted, self._batch_size)[block]:
            last = min(first + self._batch_size, wanted)
            numbers = torch.arange(first, last, device=self._fetcher.index_device)
            is_all = wanted == self._samples
            yield first, numbers if is_all else numbers * self._samples // wanted

    @property
    def _batch_size(self) -> int:
        return self.config.resolved_eval_batch_size

    @property
    def _rng_name(self) -> str:
        return f"{self.name}, in order"
