"""What a Loader and a BatchStream have in common."""

from __future__ import annotations

from typing import Any

import torch

from legoloop.data.fetching import Fetcher
from legoloop.data.loader_config import LoaderConfig
from legoloop.data.positional_rng import PositionalRng


class BatchSource:
    """A data set with the settings by which its batches are made.

    Args:
        dataset: a data set of records or of batches, such as a ColumnDataset.
        name: its name, such as ``train``: random numbers depend on it.
        seed: the seed of the order and of random numbers that the data set draws.
        config: batch size, workers and so on.
        device: batches are copied to it ahead of time if it is a GPU.

    Raises DataError for an empty data set.
    """

    def __init__(
        self,
        dataset: Any,
        name: str,
        seed: int,
        config: LoaderConfig,
        device: torch.device | None = None,
    ) -> None:
        self.name = name
        self.config = config
        self._seed = seed
        self._samples = len(dataset)
        rng = PositionalRng(seed, self._rng_name)
        self._fetcher = Fetcher(dataset, name, rng, config, device)

    @property
    def samples(self) -> int:
        """The number of samples of a pass."""
        return self._samples

    @property
    def _rng_name(self) -> str:
        """Data sets draw other random numbers in a stream than in a loader of the same name."""
        return self.name
