"""A finite pass over a data set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from legoloop.core.protocols import Batch
from legoloop.data.fetching import Cut, Fetcher
from legoloop.data.loader_config import LoaderConfig
from legoloop.data.positional_rng import PositionalRng


class Loader:
    """One pass over a data set in its own order, every sample once; each pass is the same.

    Its batches are of the ``eval_batch_size``. Random numbers drawn by the data set are a function
    of (seed, name, position). With a ``device`` that is a GPU, batches are copied to it ahead.

    >>> import torch
    >>> from legoloop.data.datasets import ColumnDataset
    >>> data = ColumnDataset({"x": torch.arange(5)})
    >>> loader = Loader(data, name="val", seed=0, config=LoaderConfig(batch_size=2))
    >>> [batch["x"].tolist() for batch in loader]
    [[0, 1], [2, 3], [4]]
    >>> len(loader)
    3
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
        self._samples = len(dataset)
        self._batch_size = batching.for_evaluation
        rng = PositionalRng(seed, f"{name}, in order")
        self._fetcher = Fetcher(dataset, name, rng, batching, device)

    @property
    def samples(self) -> int:
        """The number of samples of a pass."""
        return self._samples

    def __len__(self) -> int:
        return -(-self._samples // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return self._fetcher.over(self._cuts())

    def _cuts(self) -> Iterator[Cut]:
        for first in range(0, self._samples, self._batch_size):
            last = min(first + self._batch_size, self._samples)
            yield first, torch.arange(first, last, device=self._fetcher.reads_on)
