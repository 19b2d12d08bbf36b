"""How a data set is cut into batches and fetched, in this process or in workers."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch.utils.data import DataLoader

from legoloop.core.checks import at_least
from legoloop.core.contracts import Batch
from legoloop.core.errors import ArgumentError, DataError, UserError
from legoloop.data.collation import collate as stack
from legoloop.data.seeding import BorrowedRng

Cut = tuple[int, list[int]]
"""The position of a batch's first sample, and the indices of its samples."""


@dataclass(frozen=True)
class Batching:
    """How one data set becomes batches; the keys of ``data.loaders.<name>``.

    ``num_workers=0`` fetches in this process. ``shuffle`` concerns loops alone: a finite loader
    keeps the order of its data set. ``pin_memory`` does nothing without a GPU.

    Raises ArgumentError for values out of range.

    >>> Batching(batch_size=0)
    Traceback (most recent call last):
    legoloop.core.errors.ArgumentError: batch_size is 0; give a whole number of at least 1
    """

    batch_size: int = 256
    num_workers: int = 0
    shuffle: bool = True
    pin_memory: bool = False
    prefetch_factor: int = 2
    timeout: float = 0
    collate: Callable[[list[Any]], Batch] = stack

    def __post_init__(self) -> None:
        at_least(1, batch_size=self.batch_size, prefetch_factor=self.prefetch_factor)
        at_least(0, num_workers=self.num_workers)
        for key in ("shuffle", "pin_memory"):
            if not isinstance(getattr(self, key), bool):
                raise ArgumentError(f"{key} is {getattr(self, key)!r}; give true or false")
        if not isinstance(self.timeout, int | float) or not self.timeout >= 0:
            raise ArgumentError(f"timeout is {self.timeout!r}; give seconds, 0 for none")
        if not callable(self.collate):
            raise ArgumentError(f"collate is {self.collate!r}; give a function, in code")

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of the settings."""
        return tuple(field.name for field in fields(cls))


class Fetcher:
    """Fetches batches of one data set, so that each is a function of the seed and the position.

    A data set that serves whole batches (``__getitems__``) is asked so, and draws at the batch's
    first position; from any other, each sample draws at its own.
    """

    def __init__(self, dataset: Any, name: str, rng: BorrowedRng, batching: Batching) -> None:
        if len(dataset) == 0:
            raise DataError(f"data set '{name}' is empty: {type(dataset).__name__} has 0 samples")
        self.dataset = dataset
        self._batching = batching
        self._rng = rng

    def __getitems__(self, cuts: list[Cut]) -> Batch | UserError:
        """What torch's DataLoader asks for in a worker, one cut at a time.

        A user's mistake is handed over as it is: torch would wrap it in the worker's traceback.
        """
        (cut,) = cuts
        try:
            return self.fetch(cut)
        except UserError as error:
            return error

    def fetch(self, cut: Cut) -> Batch:
        """The batch of one cut."""
        if getattr(self.dataset, "is_plain", False):
            return self._whole(cut[1])
        with self._rng.borrowed():
            if hasattr(self.dataset, "__getitems__"):
                self._rng.at(cut[0])
                return self._whole(cut[1])
            return self._batching.collate(list(self._records(cut)))

    def over(self, cuts: Iterable[Cut]) -> Iterator[Batch]:
        """The batches of these cuts, in order, by as many workers as were asked for."""
        batching = self._batching
        pins = batching.pin_memory and torch.cuda.is_available()
        if batching.num_workers == 0:
            batches = map(self.fetch, cuts)
            return map(_pinned, batches) if pins else batches
        loader: DataLoader[Any] = DataLoader(
            self,  # type: ignore[arg-type]
            batch_sampler=([cut] for cut in cuts),
            num_workers=batching.num_workers,
            collate_fn=_as_it_is,
            pin_memory=pins,
            prefetch_factor=batching.prefetch_factor,
            timeout=batching.timeout,
            generator=torch.Generator(),
            worker_init_fn=_outlast_a_signal,
        )
        return map(_raised, loader)

    def _whole(self, indices: list[int]) -> Batch:
        served = self.dataset.__getitems__(indices)
        if isinstance(served, list):
            return self._batching.collate([self._record(item) for item in served])
        if not isinstance(served, dict):
            raise DataError(
                f"{type(self.dataset).__name__}.__getitems__ gave a {type(served).__name__}; "
                "it gives a batch, a dict of columns, or a list of records"
            )
        return served

    def _records(self, cut: Cut) -> Iterator[dict[str, Any]]:
        first, indices = cut
        for offset, index in enumerate(indices):
            self._rng.at(first + offset)
            yield self._record(self.dataset[index])

    def _record(self, item: Any) -> dict[str, Any]:
        if not isinstance(item, dict):
            raise DataError(
                f"{type(self.dataset).__name__} gave a {type(item).__name__} for a sample; "
                "a record is a dict of named values"
            )
        return item


def _outlast_a_signal(number: int) -> None:
    """A scheduler's SIGTERM reaches all processes of a job, but the run needs its workers still.

    Torch's own handler, which is in place by now, would end this one at the first.
    """
    signal.signal(signal.SIGTERM, lambda *given: signal.signal(signal.SIGTERM, signal.SIG_DFL))


def _as_it_is(batch: Any) -> Any:
    return batch


def _raised(batch: Batch | UserError) -> Batch:
    if isinstance(batch, UserError):
        raise batch
    return batch


def _pinned(batch: Batch) -> Batch:
    return {
        key: value.pin_memory() if isinstance(value, torch.Tensor) else value
        for key, value in batch.items()
    }
