"""Streams and loaders as users write them, or other libraries do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from legoloop import LoaderStream
from tests.tiny import Noisy, columns


class CountedReads(Dataset[Any]):
    """Records with noise from all three generators; counts how often it is read."""

    def __init__(self, samples: int = 10) -> None:
        self.records = Noisy(samples)
        self.reads = 0

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, item: int) -> dict[str, Any]:
        self.reads += 1
        return self.records[item]


class Lines(IterableDataset[Any]):
    """Has no length; workers share it as torch asks for; shuffled by the number of the pass."""

    def __init__(self, samples: int = 10) -> None:
        self.samples = samples
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        table = columns(self.samples)
        for item in range(first, self.samples, step):
            place = (item + self.epoch) % self.samples
            x = table["x"][place] + torch.rand(())
            yield {"idx": place, "x": x, "target": table["target"][place]}


class StatefulLoader(DataLoader[Any]):
    """Keeps to the protocol of torchdata's StatefulDataLoader: it begins where its state says."""

    begins_at: dict[str, int] | None = None
    now: dict[str, int] | None = None

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        at = self.begins_at or {"seed": int(torch.randint(2**40, ())), "served": 0}
        object.__setattr__(self, "begins_at", None)
        object.__setattr__(self, "now", at)
        generator = torch.Generator().manual_seed(at["seed"])
        order = torch.randperm(len(self.dataset), generator=generator).tolist()  # type: ignore[arg-type]
        size = self.batch_size or 1
        for first in range(at["served"] * size, len(order), size):
            at["served"] += 1
            yield self.collate_fn([self.dataset[item] for item in order[first : first + size]])

    def state_dict(self) -> dict[str, int]:
        return dict(self.now or {})

    def load_state_dict(self, state: dict[str, int]) -> None:
        object.__setattr__(self, "begins_at", dict(state))


def endless(samples: int = 10, batch_size: int = 4) -> LoaderStream:
    """The records, shuffled, for ever."""
    return LoaderStream(DataLoader(CountedReads(samples), batch_size, shuffle=True))
