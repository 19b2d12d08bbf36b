"""Splitting a batch into micro-batches, and joining what was made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence, unpack_sequence

from legoloop.core.batch_rows import has_rows, packed, rows_of
from legoloop.core.batch_size import DefaultBatchDesc, SizedBatch
from legoloop.core.nested import is_one, opened
from legoloop.core.protocols import Batch


def split_batch(batch: Batch, size: int) -> list[SizedBatch]:
    """Micro-batches of at most ``size`` samples, in order; a single one if there is no sample.

    Values with one entry per sample are sliced: tensors and arrays of shape (samples, …), lists, a
    PackedSequence, and these in nested containers. Any other value is the same in
    every micro-batch.

    >>> split_batch({"idx": [3, 1, 2], "scale": 0.5}, size=2)
    [{'idx': [3, 1], 'scale': 0.5}, {'idx': [2], 'scale': 0.5}]
    """
    samples = DefaultBatchDesc()(batch)
    return [
        SizedBatch(
            {
                key: rows_of(value, samples, slice(start, start + size))
                for key, value in batch.items()
            },
            min(size, samples - start),
        )
        for start in range(0, samples or 1, size)
    ]


def join(micro_batches: Sequence[Mapping[str, Any]], sizes: Sequence[int]) -> dict[str, Any]:
    """The dict for the whole batch of those for micro-batches with ``sizes`` samples.

    Values with one entry per sample are concatenated; of any other value the last one is taken.

    >>> join([{"y": torch.zeros(2), "scale": 1}, {"y": torch.ones(1), "scale": 2}], sizes=[2, 1])
    {'y': tensor([0., 0., 1.]), 'scale': 2}
    """
    return {
        key: _join_values([micro_batch[key] for micro_batch in micro_batches], sizes)
        for key in micro_batches[0]
    }


def shares(micro_batches: Sequence[Batch], size: Callable[[Batch], int]) -> list[float]:
    """The share of each micro-batch in the size of the batch; equal shares if that is 0.

    >>> shares([{"idx": [3, 1, 2]}, {"idx": [0]}], DefaultBatchDesc())
    [0.75, 0.25]
    """
    sizes = [size(micro_batch) for micro_batch in micro_batches]
    whole = sum(sizes)
    return [each / whole for each in sizes] if whole else [1 / len(sizes)] * len(sizes)


def _join_values(values: Sequence[Any], sizes: Sequence[int]) -> Any:
    last = values[-1]
    if not all(map(has_rows, values, sizes)):
        return _join_nested(values, sizes)
    if isinstance(last, torch.Tensor):
        return torch.cat(list(values))
    if isinstance(last, np.ndarray):
        return np.concatenate(values)
    if isinstance(last, PackedSequence):
        return packed([part for value in values for part in unpack_sequence(value)], last)
    return type(last)(chain(*values))


def _join_nested(values: Sequence[Any], sizes: Sequence[int]) -> Any:
    last = values[-1]
    if is_one(last) or (like := opened(last)) is None:
        return last
    inside = [dict(zip(o.keys, o.values, strict=True)) for v in values if (o := opened(v))]
    if any(each.keys() != inside[-1].keys() for each in inside):
        return last
    joined = like.remade([_join_values([each[key] for each in inside], sizes) for key in like.keys])
    if isinstance(joined, SizedBatch):
        joined.num_samples = sum(sizes)
    return joined
