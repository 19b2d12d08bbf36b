"""What a Loader and a BatchStream have in common."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import IterableDataset

from legoloop.core.errors import DataError
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

    Raises DataError for an empty data set, and for one without a length.
    """

    def __init__(
        self,
        dataset: Any,
        name: str,
        seed: int,
        config: LoaderConfig,
        device: torch.device | None = None,
    ) -> None:
        _reject_unsized(name, dataset)
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


def _reject_unsized(name: str, dataset: Any) -> None:
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise DataError(
            f"data set '{name}' is a {type(dataset).__name__}, which cannot be indexed: give it "
            "__len__ and __getitem__, or give SimpleEpoch a LoaderStream of its DataLoader"
        )
