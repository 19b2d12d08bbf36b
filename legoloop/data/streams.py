"""An endless, seeded stream of batches with a position."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import torch

from legoloop.core.as_constructed import describe
from legoloop.core.batch_rows import rows_of
from legoloop.core.batch_size import RankShare, SizedBatch
from legoloop.core.errors import DataError
from legoloop.core.index_batch import IndexBatch
from legoloop.core.protocols import Batch
from legoloop.core.ranks import Ranks, current_ranks
from legoloop.data.batch_source import BatchSource
from legoloop.data.fetching import BatchIndices
from legoloop.data.loader_config import LoaderConfig
from legoloop.data.positional_rng import shuffled
from legoloop.data.sampling import order_of_pass


class BatchStream(BatchSource):
    """Endless stream of batches: pass after pass over a data set, each in a new seeded order.

    The order of a pass is a function of (seed, name, number of the pass). Batches never cross a
    pass, so the last one of a pass may be short; with ``drop_last`` such a one is left out, and
    ``samples`` are those of the whole batches. ``position`` counts the batches that were served;
    loading another one with ``load_state_dict`` costs the same wherever it points, since a batch
    does not depend on those before it. The state is a place among the samples: a stream with
    another batch size continues with the next sample, and counts batches of its own size.

    Where several ranks train together, all of them are at the same position, and each serves its
    share of the batch there. So a state is the same for any number of ranks.

    Args:
        dataset: a data set of records or of batches, such as a ColumnDataset.
        name: its name, such as ``train``.
        seed: the seed of the order and of random numbers that the data set draws.
        config: batch size, workers and so on.
        device: batches are copied to it ahead of time if it is a GPU.

    Raises DataError for an empty data set, and for one that has no whole batch with ``drop_last``.

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

    supports_ranks = True
    hands_out_indices = False
    """Whether batches are served as their indices, for whoever fetches several at once."""
    position = 0
    _batches: Iterator[Batch] | None = None
    _shifted_pass = 0
    _shift = 0  # by so many samples the batches of that pass begin later than they would

    def __init__(
        self,
        dataset: Any,
        name: str,
        seed: int,
        config: LoaderConfig,
        device: torch.device | None = None,
    ) -> None:
        super().__init__(dataset, name, seed, config, device)
        if config.drop_last and self._samples < config.batch_size:
            raise DataError(
                f"data set '{name}' has {self._samples} samples, less than a batch of "
                f"{config.batch_size}, and drop_last leaves out those that are short"
            )
        sampler, is_random = config.sampler, config.shuffle or config.sampler is not None
        self._constructed_order = {
            "number of samples": str(self._samples),
            "sampler": describe(sampler),
            "shuffle": str(config.shuffle if sampler is None else None),
            "seed": str(seed if is_random else None),
        }

    @property
    def samples(self) -> int:
        """The number of samples of a pass."""
        left_out = self._samples % self._batch_size if self.config.drop_last else 0
        return self._samples - left_out

    def __iter__(self) -> BatchStream:
        return self

    def __next__(self) -> Batch:
        ranks = current_ranks()
        if self._batches is None:
            indices = self._indices_from(self.position)
            if self.hands_out_indices:
                rows = self._fetcher.dataset.rows
                self._batches = (IndexBatch(each, rows) for _, each in indices)
                return next(self)
            if not ranks.is_alone and not self._fetcher.draws_by_batch:
                indices = (self._share_of(ranks, *batch) for batch in indices)
            self._batches = self._fetcher.iterate(indices)
        try:
            batch = next(self._batches)
            if not ranks.is_alone:
                batch = self._as_share(ranks, batch)
        except BaseException:  # the batch at this position was not served, even if it was fetched
            self.close()
            raise
        self.position += 1
        return batch

    @property
    def can_hand_out_indices(self) -> bool:
        """Whether its batches are columns as they are, read where the stream is."""
        return self._fetcher.reads_plain_columns

    def peek(self, samples: int | None = None) -> Iterator[Batch]:
        """The first samples of the first pass, at most one pass, without moving the position.

        Args:
            samples: how many; None: a whole pass.

        Returns batches of ``eval_batch_size`` samples.
        """
        return self.peek_block(Ranks(), samples)

    def peek_block(self, ranks: Ranks, samples: int | None = None) -> Iterator[Batch]:
        """As ``peek``, of its batches those that one of the ranks evaluates."""
        wanted = self._samples if samples is None else min(samples, self._samples)
        batches = list(self._first_indices(wanted))
        return self._fetcher.iterate(batches[ranks.block(len(batches))])

    def num_batches_for(self, samples: int, position: int = 0) -> int:
        """The number of batches, from a position on, that it takes to serve so many samples."""
        per_pass = self._batches_per_pass
        offset = position % per_pass
        rest = self._end_of_pass(position) - self._sample_offset(position)
        if samples <= rest:
            return -(-samples // self._batch_size)
        passes, more = divmod(samples - rest, self.samples)
        return per_pass - offset + passes * per_pass + -(-more // self._batch_size)

    def batch_size_at(self, position: int) -> int:
        """The number of samples of the batch at a position."""
        return min(self._batch_size, self._end_of_pass(position) - self._sample_offset(position))

    def state_dict(self) -> dict[str, Any]:
        """The position in batches, and that among the samples; what their order depends on."""
        return {
            "name": self.name,
            "position": self.position,
            "pass": self.position // self._batches_per_pass,
            "sample": self._sample_offset(self.position),
            "order": self._constructed_order,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Move to a position; prefetched batches are dropped.

        Args:
            state: of this stream, of one with another batch size, or of a MixedStream with this
                one; or a ``position`` in batches.

        Raises DataError within a pass whose order is another one now, since some of its samples
        would come twice and others never.
        """
        self.close()
        if "streams" in state:
            state = state["streams"].get(self.name, {"position": 0})
        if "sample" not in state:
            self.position, self._shift = state["position"], 0
            return
        served = state["sample"]
        if served:
            self._check_order(state["order"])
        # In such a way that every later pass is cut as it would be without the change.
        offset = self._batches_per_pass - self._batches_of(self._samples - served)
        self._shifted_pass = state["pass"]
        self._shift = served - offset * self._batch_size
        self.position = state["pass"] * self._batches_per_pass + offset

    def _check_order(self, before: dict[str, str]) -> None:
        now = self._constructed_order
        changes = [
            f"{key} was {before[key]}, is {now[key]}" for key in now if before[key] != now[key]
        ]
        if changes:
            raise DataError(
                f"the stream of '{self.name}' is in the middle of a pass, whose order cannot "
                f"change: {'; '.join(changes)}; change that after a whole pass"
            )

    def _rows(self, ranks: Ranks, size: int) -> tuple[slice, bool]:
        """The rows of a batch that this rank serves; whether they are borrowed from rank 0.

        A rank for which nothing is left takes part in the step all the same, with a weight of 0.
        """
        rows = ranks.rows(size, of=self._batch_size)
        if rows.start < rows.stop:
            return rows, False
        return Ranks(0, ranks.size).rows(size, of=self._batch_size), True

    def _share_of(self, ranks: Ranks, first: int, indices: torch.Tensor) -> BatchIndices:
        rows, _ = self._rows(ranks, len(indices))
        return first + rows.start, indices[rows]

    def _as_share(self, ranks: Ranks, batch: Batch) -> SizedBatch:
        whole = self.batch_size_at(self.position)
        rows, is_borrowed = self._rows(ranks, whole)
        if self._fetcher.draws_by_batch:  # it was fetched as a whole, for the same random numbers
            batch = {key: rows_of(value, whole, rows) for key, value in batch.items()}
        largest = Ranks(0, ranks.size).rows(whole, of=self._batch_size).stop
        share = RankShare(whole, largest, (self.name, self.position), is_borrowed)
        return SizedBatch(batch, rows.stop - rows.start, share)

    def close(self) -> None:
        """Stop the workers; the next batch starts new ones."""
        self._batches = None

    @property
    def _batch_size(self) -> int:
        return self.config.batch_size

    @property
    def _batches_per_pass(self) -> int:
        return self._batches_of(self._samples)

    def _batches_of(self, samples: int) -> int:
        """The batches that so many samples at the end of a pass make."""
        return (
            samples // self._batch_size
            if self.config.drop_last
            else -(-samples // self._batch_size)
        )

    def _indices_from(self, position: int) -> Iterator[BatchIndices]:
        served = self._sample_offset(position)
        for number in count(position // self._batches_per_pass):
            start = number * self._samples + served
            end = self._end_of_pass(number * self._batches_per_pass)
            order = self._order(number)[served:end]
            for first, indices in _split_order(order, self._batch_size):
                yield start + first, indices
            served = 0

    def _sample_offset(self, position: int) -> int:
        """The samples of its pass that come before the batch at a position."""
        number, offset = divmod(position, self._batches_per_pass)
        return offset * self._batch_size + self._shift_of(number)

    def _end_of_pass(self, position: int) -> int:
        """The samples that the pass of a position has served when it ends."""
        if not self.config.drop_last:
            return self._samples
        return self.samples + self._shift_of(position // self._batches_per_pass)

    def _shift_of(self, number: int) -> int:
        return self._shift if number == self._shifted_pass else 0

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
