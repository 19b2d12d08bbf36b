"""Splitting a batch into micro-batches, and joining what was made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch

from legoloop.core.batch_size import DefaultBatchDesc
from legoloop.core.protocols import Batch


def split_batch(batch: Batch, size: int) -> list[Batch]:
    """Micro-batches of at most ``size`` samples, in order; a single one if there is no sample.

    Values with one entry per sample are sliced: tensors and arrays of shape (samples, …), lists,
    and these in nested dicts. Any other value is the same in every micro-batch.

    >>> split_batch({"idx": [3, 1, 2], "scale": 0.5}, size=2)
    [{'idx': [3, 1], 'scale': 0.5}, {'idx': [2], 'scale': 0.5}]
    """
    samples = DefaultBatchDesc()(batch)
    return [
        {
            key: _slice_rows(value, samples, slice(start, start + size))
            for key, value in batch.items()
        }
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


def detach(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values detached, since a graph would keep the activations of its micro-batch.

    >>> detach({"y": torch.ones(1, requires_grad=True), "n": 1})
    {'y': tensor([1.]), 'n': 1}
    """
    return {key: _detach_value(value) for key, value in values.items()}


def shares(micro_batches: Sequence[Batch], size: Callable[[Batch], int]) -> list[float]:
    """The share of each micro-batch in the size of the batch; equal shares if that is 0.

    >>> shares([{"idx": [3, 1, 2]}, {"idx": [0]}], DefaultBatchDesc())
    [0.75, 0.25]
    """
    sizes = [size(micro_batch) for micro_batch in micro_batches]
    whole = sum(sizes)
    return [each / whole for each in sizes] if whole else [1 / len(sizes)] * len(sizes)


def _slice_rows(value: Any, samples: int, rows: slice) -> Any:
    if isinstance(value, Mapping):
        return {key: _slice_rows(inner, samples, rows) for key, inner in value.items()}
    return value[rows] if _has_rows(value, samples) else value


def _detach_value(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, Mapping):
        return detach(value)
    if type(value) in (list, tuple):
        return type(value)(map(_detach_value, value))
    return value


def _join_values(values: Sequence[Any], sizes: Sequence[int]) -> Any:
    last = values[-1]
    if isinstance(last, Mapping):
        return join(values, sizes)
    if not all(map(_has_rows, values, sizes)):
        return last
    if isinstance(last, torch.Tensor):
        return torch.cat(list(values))
    if isinstance(last, np.ndarray):
        return np.concatenate(values)
    return type(last)(chain(*values))


def _has_rows(value: Any, samples: int) -> bool:
    has_length = type(value) in (list, tuple)
    if isinstance(value, torch.Tensor | np.ndarray):
        has_length = value.ndim > 0
    return has_length and len(value) == samples
