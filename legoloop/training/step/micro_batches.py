"""A batch taken in parts, so that training on it need not fit into memory at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch

from legoloop.core.batch_size import DefaultBatchDesc
from legoloop.core.protocols import Batch


def split(batch: Batch, size: int) -> list[Batch]:
    """Parts of at most so many samples each, in order; one part if there is no sample.

    What has one entry a sample is cut: tensors and arrays of shape (samples, …), lists, and such in
    nested dicts. Anything else is whole in every part.

    >>> split({"idx": [3, 1, 2], "scale": 0.5}, size=2)
    [{'idx': [3, 1], 'scale': 0.5}, {'idx': [2], 'scale': 0.5}]
    """
    samples = DefaultBatchDesc()(batch)
    return [
        {key: _cut(value, samples, slice(start, start + size)) for key, value in batch.items()}
        for start in range(0, samples or 1, size)
    ]


def joined(parts: Sequence[Mapping[str, Any]], sizes: Sequence[int]) -> dict[str, Any]:
    """One dict of what was made of the parts, which hold ``sizes`` samples.

    What has one entry a sample is put together again; of anything else there is the last part's.

    >>> joined([{"y": torch.zeros(2), "scale": 1}, {"y": torch.ones(1), "scale": 2}], sizes=[2, 1])
    {'y': tensor([0., 0., 1.]), 'scale': 2}
    """
    return {key: _together([part[key] for part in parts], sizes) for key in parts[0]}


def detached(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same without the graph, which would keep the activations of its part.

    >>> detached({"y": torch.ones(1, requires_grad=True), "n": 1})
    {'y': tensor([1.]), 'n': 1}
    """
    return {key: _detached(value) for key, value in values.items()}


def shares(parts: Sequence[Batch], size: Callable[[Batch], int]) -> list[float]:
    """How much of the whole each part is; equal shares if all of it weighs nothing.

    >>> shares([{"idx": [3, 1, 2]}, {"idx": [0]}], DefaultBatchDesc())
    [0.75, 0.25]
    """
    sizes = [size(part) for part in parts]
    whole = sum(sizes)
    return [part / whole for part in sizes] if whole else [1 / len(sizes)] * len(sizes)


def _cut(value: Any, samples: int, rows: slice) -> Any:
    if isinstance(value, Mapping):
        return {key: _cut(inner, samples, rows) for key, inner in value.items()}
    return value[rows] if _has_rows(value, samples) else value


def _detached(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, Mapping):
        return detached(value)
    if type(value) in (list, tuple):
        return type(value)(map(_detached, value))
    return value


def _together(values: Sequence[Any], sizes: Sequence[int]) -> Any:
    last = values[-1]
    if isinstance(last, Mapping):
        return joined(values, sizes)
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
