"""Fetching the batches of a data set: in this process or in workers, and on to a GPU."""

from __future__ import annotations

import errno
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader

from legoloop.core.batch_size import SizedBatch
from legoloop.core.errors import DataError, UserError
from legoloop.core.nested import named_tensors, pinned
from legoloop.core.protocols import Batch
from legoloop.data.datasets import ColumnDataset
from legoloop.data.left_workers import end_at_exit
from legoloop.data.loader_config import LoaderConfig
from legoloop.data.positional_rng import PositionalRng, single_threaded
from legoloop.data.prefetch import DevicePrefetcher
from legoloop.data.sample_seeding import SampleSeeding

BatchIndices = tuple[int, torch.Tensor]
"""The position of a batch's first sample, and the indices of its samples, int64."""


class Fetcher:
    """Fetches batches of one data set, each a function of the seed and the position.

    A data set with ``__getitems__`` serves a whole batch per call, with the random numbers of the
    batch's first position; ``is_deterministic = True`` says that it needs none. Any other one is
    called for each sample, with the random numbers of the sample's own position.

    A ColumnDataset gets the indices as a tensor, any other data set as ints.
    """

    def __init__(
        self,
        dataset: Any,
        name: str,
        rng: PositionalRng,
        config: LoaderConfig,
        device: torch.device | None = None,
    ) -> None:
        if len(dataset) == 0:
            raise DataError(f"data set '{name}' is empty: {type(dataset).__name__} has 0 samples")
        self.dataset = dataset
        self._name = name
        self._config = config
        self._rng = rng
        self._seeding = SampleSeeding(rng)
        self._device = device

    @property
    def index_device(self) -> torch.device:
        """The device on which the data set takes indices, so that no batch has to move them."""
        is_direct = self._uses_default_getitems and self._config.num_workers == 0
        return self.dataset.device if is_direct else torch.device("cpu")

    @property
    def reads_plain_columns(self) -> bool:
        """Whether a batch is rows of tensors, which nothing computes, moves or pins."""
        if not (self._uses_default_getitems and self.dataset.is_deterministic):
            return False
        config, columns = self._config, self.dataset.columns.values()
        device = torch.device("cpu") if self._device is None else self._device
        return (
            all(isinstance(column, torch.Tensor) for column in columns)
            and config.num_workers == 0
            and not config.pin_memory
            and self.dataset.device.type == device.type
        )

    @property
    def draws_by_batch(self) -> bool:
        """Whether random numbers are drawn for a batch as a whole, so that a part has others."""
        dataset = self.dataset
        if self._uses_default_getitems and dataset.accepts_generator:
            return True
        is_deterministic = getattr(dataset, "is_deterministic", False)
        return hasattr(dataset, "__getitems__") and not is_deterministic

    def __getitems__(self, batches: list[tuple[int, list[int]]]) -> Batch | UserError:
        """Called by torch's DataLoader in a worker, for one batch at a time.

        A UserError is returned: torch would wrap it in the worker's traceback.
        """
        ((first, indices),) = batches
        try:
            batch = self._fetch_fn()((first, torch.tensor(indices)))
            self._share(batch)
            return batch
        except UserError as error:
            return error

    def _share(self, batch: Any) -> None:
        """Move the tensors of a batch to shared memory, as torch does when it sends them.

        There an error would be printed, and the batch waited for without end.
        """
        try:
            _share_tensors(batch)
        except RuntimeError as error:
            raise self._no_workers(str(error)) from error

    def _no_workers(self, reason: str) -> DataError:
        return DataError(
            f"the workers of data set '{self._name}' have no room in shared memory ({reason}); "
            "free some in /dev/shm, give the container more of it (--shm-size), "
            "or set num_workers=0"
        )

    def iterate(self, batches: Iterable[BatchIndices]) -> Iterator[Batch]:
        """The batches with these indices, in order; on the device if that is a GPU."""
        gpu = self._device if self._device is not None and self._device.type == "cuda" else None
        if gpu is None or self.index_device.type == "cuda":
            return self._fetch(batches, pin=bool(self._config.pin_memory))
        pin = self._config.pin_memory is not False
        return DevicePrefetcher(self._fetch(batches, pin), gpu)

    def _fetch(self, batches: Iterable[BatchIndices], pin: bool) -> Iterator[Batch]:
        config = self._config
        pin = pin and torch.cuda.is_available()
        if config.num_workers == 0:
            fetched = map(self._fetch_fn(), batches)
            return map(pinned, fetched) if pin else fetched
        loader: DataLoader[Any] = DataLoader(
            self,  # type: ignore[arg-type]
            batch_sampler=([(first, indices.tolist())] for first, indices in batches),
            num_workers=config.num_workers,
            collate_fn=_unchanged,
            pin_memory=pin,
            prefetch_factor=config.prefetch_factor,
            timeout=config.timeout,
            generator=torch.Generator(),
            worker_init_fn=_ignore_first_sigterm,
        )
        try:
            multiprocessing.Semaphore()  # as torch makes some, in an object that then fails to end
            others = set(multiprocessing.active_children())
            batches_of_workers = map(_raise_errors, loader)  # they are started here
            end_at_exit(set(multiprocessing.active_children()) - others)
            return batches_of_workers
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise self._no_workers(str(error.strerror)) from error
            raise

    def _fetch_fn(self) -> Callable[[BatchIndices], Batch]:
        return partial(self._call, self._cheapest_fetch_fn())

    def _cheapest_fetch_fn(self) -> Callable[[BatchIndices], Batch]:
        """The cheapest way that gives the random numbers which the data set may draw."""
        dataset = self.dataset
        if self._uses_default_getitems:
            if dataset.accepts_generator:
                return self._columns_with_generator
            return (
                self._columns
                if dataset.is_deterministic
                else partial(self._with_seeded_rng, self._columns)
            )
        if not hasattr(dataset, "__getitems__"):
            return self._records
        return (
            self._whole
            if getattr(dataset, "is_deterministic", False)
            else partial(self._with_seeded_rng, self._whole)
        )

    def _call(self, fetch: Callable[[BatchIndices], Batch], batch: BatchIndices) -> Batch:
        try:
            columns = fetch(batch)
        except StopIteration as error:  # it would end the pass, as if no samples were left
            notes = "; ".join(getattr(error, "__notes__", []))
            raise DataError(
                f"data set '{self._name}', a {type(self.dataset).__name__}, raised StopIteration "
                f"{notes or 'while a batch was made'}; it has {len(self.dataset)} samples"
            ) from error
        if not isinstance(columns, Mapping):
            raise DataError(
                f"the collate function of data set '{self._name}' returned a "
                f"{type(columns).__name__}; return a batch, a dict of columns"
            )
        return SizedBatch(columns, len(batch[1]))

    @property
    def _uses_default_getitems(self) -> bool:
        return isinstance(self.dataset, ColumnDataset) and self.dataset.uses_default_getitems

    def _with_seeded_rng(
        self, fetch: Callable[[BatchIndices], Batch], batch: BatchIndices
    ) -> Batch:
        with self._rng.active():
            self._rng.seed_for(batch[0])
            return fetch(batch)

    def _columns_with_generator(self, batch: BatchIndices) -> Batch:
        first, indices = batch
        with single_threaded():
            return self._batch(self.dataset.__getitems__(indices, self._rng.generator(first)))

    def _columns(self, batch: BatchIndices) -> Batch:
        return self._batch(self.dataset.__getitems__(batch[1]))

    def _whole(self, batch: BatchIndices) -> Batch:
        return self._batch(self.dataset.__getitems__(batch[1].tolist()))

    def _batch(self, served: Any) -> Batch:
        if isinstance(served, dict):
            return served
        if isinstance(served, list):
            return self._config.collate([self._record(item) for item in served])
        raise DataError(
            f"{type(self.dataset).__name__}.__getitems__ returned a {type(served).__name__}; "
            "return a batch, a dict of columns, or a list of records"
        )

    def _records(self, batch: BatchIndices) -> Batch:
        first, indices = batch
        with self._rng.active():
            records = self._seeding.map(self._sample, first, indices.tolist())
            return self._config.collate(records)

    def _sample(self, index: int) -> dict[str, Any]:
        try:
            item = self.dataset[index]
        except Exception as error:
            error.add_note(f"at sample {index} of data set '{self._name}'")
            raise
        return self._record(item)

    def _record(self, item: Any) -> dict[str, Any]:
        if not isinstance(item, dict):
            raise DataError(
                f"{type(self.dataset).__name__} returned a {type(item).__name__} for a sample; "
                "return a record, a dict of named values, or name them with legoloop.NamedDataset"
            )
        return item


def _ignore_first_sigterm(number: int) -> None:
    """A cluster's SIGTERM reaches all processes of a job, but the run still needs its workers.

    torch's handler, which is already installed, would end this worker at the first signal.
    """
    signal.signal(signal.SIGTERM, lambda *given: signal.signal(signal.SIGTERM, signal.SIG_DFL))


def _share_tensors(batch: Any) -> None:
    for _, tensor in named_tensors(batch):
        if tensor.layout is torch.strided and tensor.device.type == "cpu":
            tensor.share_memory_()  # type: ignore[no-untyped-call]


def _unchanged(batch: Any) -> Any:
    return batch


def _raise_errors(batch: Batch | UserError) -> Batch:
    if isinstance(batch, UserError):
        raise batch
    return batch
