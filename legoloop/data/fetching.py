"""How the batches of a data set are fetched: in this process or in workers, and on to a GPU."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader

from legoloop.core.errors import DataError, UserError
from legoloop.core.protocols import Batch
from legoloop.data.datasets import ColumnDataset
from legoloop.data.loader_config import LoaderConfig
from legoloop.data.positional_rng import PositionalRng, single_threaded
from legoloop.data.prefetch import DevicePrefetcher

Cut = tuple[int, torch.Tensor]
"""The position of a batch's first sample, and the indices of its samples, int64."""


class Fetcher:
    """Fetches batches of one data set, so that each is a function of the seed and the position.

    A data set that serves whole batches (``__getitems__``) is asked so, and draws at the batch's
    first position; if it neither computes nor draws anything, it may say so, ``is_plain = True``.
    From any other, each sample draws at its own.

    A ``ColumnDataset`` is given indices as the tensor that they are, any other as plain numbers.
    """

    def __init__(
        self,
        dataset: Any,
        name: str,
        rng: PositionalRng,
        batching: LoaderConfig,
        device: torch.device | None = None,
    ) -> None:
        if len(dataset) == 0:
            raise DataError(f"data set '{name}' is empty: {type(dataset).__name__} has 0 samples")
        self.dataset = dataset
        self._name = name
        self._batching = batching
        self._rng = rng
        self._device = device

    @property
    def reads_on(self) -> torch.device:
        """Where indices are wanted, so that no batch has to move them."""
        is_ready = self._serves_columns and self._batching.num_workers == 0
        return self.dataset.device if is_ready else torch.device("cpu")

    def __getitems__(self, cuts: list[tuple[int, list[int]]]) -> Batch | UserError:
        """What torch's DataLoader asks for in a worker, one cut at a time.

        A user's mistake is handed over as it is: torch would wrap it in the worker's traceback.
        """
        ((first, indices),) = cuts
        try:
            return self._way()((first, torch.tensor(indices)))
        except UserError as error:
            return error

    def over(self, cuts: Iterable[Cut]) -> Iterator[Batch]:
        """The batches of these cuts, in order, by as many workers as were asked for.

        They are on the device if that is a GPU.
        """
        gpu = self._device if self._device is not None and self._device.type == "cuda" else None
        if gpu is None or self.reads_on.type == "cuda":
            return self._fetched(cuts, pins=bool(self._batching.pin_memory))
        pins = self._batching.pin_memory is not False
        return DevicePrefetcher(self._fetched(cuts, pins), gpu)

    def _fetched(self, cuts: Iterable[Cut], pins: bool) -> Iterator[Batch]:
        batching = self._batching
        pins = pins and torch.cuda.is_available()
        if batching.num_workers == 0:
            batches = map(self._way(), cuts)
            return map(_pinned, batches) if pins else batches
        loader: DataLoader[Any] = DataLoader(
            self,  # type: ignore[arg-type]
            batch_sampler=([(first, indices.tolist())] for first, indices in cuts),
            num_workers=batching.num_workers,
            collate_fn=_as_it_is,
            pin_memory=pins,
            prefetch_factor=batching.prefetch_factor,
            timeout=batching.timeout,
            generator=torch.Generator(),
            worker_init_fn=_outlast_a_signal,
        )
        return map(_raised, loader)

    def _way(self) -> Callable[[Cut], Batch]:
        return partial(self._asked, self._cheapest_way())

    def _cheapest_way(self) -> Callable[[Cut], Batch]:
        """How the data set is asked: at no more cost than what it may draw makes necessary."""
        dataset = self.dataset
        if self._serves_columns:
            if dataset.takes_generator:
                return self._columns_drawn
            return self._columns if dataset.is_plain else partial(self._lent, self._columns)
        if not hasattr(dataset, "__getitems__"):
            return partial(self._lent, self._records)
        return (
            self._whole if getattr(dataset, "is_plain", False) else partial(self._lent, self._whole)
        )

    def _asked(self, way: Callable[[Cut], Batch], cut: Cut) -> Batch:
        try:
            return way(cut)
        except StopIteration as error:  # it would end the pass, as if no samples were left
            told = "; ".join(getattr(error, "__notes__", []))
            raise DataError(
                f"data set '{self._name}', a {type(self.dataset).__name__}, raised StopIteration "
                f"{told or 'while a batch was made'}; it has {len(self.dataset)} samples"
            ) from error

    @property
    def _serves_columns(self) -> bool:
        return isinstance(self.dataset, ColumnDataset) and self.dataset.serves_columns

    def _lent(self, ask: Callable[[Cut], Batch], cut: Cut) -> Batch:
        with self._rng.borrowed():
            self._rng.at(cut[0])
            return ask(cut)

    def _columns_drawn(self, cut: Cut) -> Batch:
        first, indices = cut
        with single_threaded():
            return self._batch(self.dataset.__getitems__(indices, self._rng.generator(first)))

    def _columns(self, cut: Cut) -> Batch:
        return self._batch(self.dataset.__getitems__(cut[1]))

    def _whole(self, cut: Cut) -> Batch:
        return self._batch(self.dataset.__getitems__(cut[1].tolist()))

    def _batch(self, served: Any) -> Batch:
        if isinstance(served, dict):
            return served
        if isinstance(served, list):
            return self._batching.collate([self._record(item) for item in served])
        raise DataError(
            f"{type(self.dataset).__name__}.__getitems__ gave a {type(served).__name__}; "
            "it gives a batch, a dict of columns, or a list of records"
        )

    def _records(self, cut: Cut) -> Batch:
        first, indices = cut
        records = []
        for position, index in enumerate(indices.tolist(), start=first):
            self._rng.at(position)
            records.append(self._record(self._sample(index)))
        return self._batching.collate(records)

    def _sample(self, index: int) -> Any:
        try:
            return self.dataset[index]
        except Exception as error:
            error.add_note(f"at sample {index} of data set '{self._name}'")
            raise

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
        key: value.pin_memory() if _is_on_host(value) else value for key, value in batch.items()
    }


def _is_on_host(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.device.type == "cpu"
