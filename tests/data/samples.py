"""Data sets of both shapes, with and without randomness."""

from __future__ import annotations

import random
from itertools import chain

import numpy as np
import torch

from legoloop.core.protocols import Batch
from legoloop.data.datasets import ColumnDataset


def noise() -> float:
    """A number that every generator had a part in."""
    return random.random() + np.random.rand() + np.random.randn() + torch.rand(1).item()


class Records:
    """One sample at a time."""

    def __init__(self, samples: int = 10) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, item: int) -> dict[str, object]:
        return {"idx": item, "x": float(item)}


class NoisyRecords(Records):
    def __getitem__(self, item: int) -> dict[str, object]:
        return {**super().__getitem__(item), "noise": noise()}


class ListedRecords(NoisyRecords):
    """A whole batch at a time, as a list of records."""

    def __getitems__(self, items: list[int]) -> list[dict[str, object]]:
        return [self[item] for item in items]


def columns(samples: int = 10) -> ColumnDataset:
    return ColumnDataset({"x": torch.arange(float(samples))})


def with_noise(batch: Batch) -> Batch:
    return {**batch, "noise": torch.tensor([noise() for _ in batch["idx"]], dtype=torch.float64)}


def noisy_columns(samples: int = 10) -> ColumnDataset:
    return ColumnDataset({"x": torch.arange(float(samples))}, transform=with_noise)


EVERY_KIND = {
    "records": Records,
    "noisy records": NoisyRecords,
    "listed records": ListedRecords,
    "columns": columns,
    "noisy columns": noisy_columns,
}


def plain(batches) -> list[dict[str, list]]:
    """The batches as lists, to be compared with ``==``."""
    return [{key: value.tolist() for key, value in batch.items()} for batch in batches]


def flat(batches: list[list[int]]) -> list[int]:
    """The batches one after the other."""
    return list(chain.from_iterable(batches))
