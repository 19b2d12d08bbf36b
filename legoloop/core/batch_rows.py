"""The rows of a batch: values with one entry per sample, however they are nested."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence, unpack_sequence

from legoloop.core.nested import Columns, is_namedtuple, is_one, opened


def rows_of(value: Any, samples: int, rows: slice) -> Any:
    """Some rows of all values with one entry per sample; any other value stays as it is.

    Args:
        value: a column, or columns in nested containers.
        samples: the number of samples of the batch.
        rows: which of them.

    >>> rows_of({"idx": [3, 1, 2], "scale": 0.5}, samples=3, rows=slice(1, 3))
    {'idx': [1, 2], 'scale': 0.5}
    """
    if isinstance(value, PackedSequence) and has_rows(value, samples):
        return packed(unpack_sequence(value)[rows], value)
    if has_rows(value, samples):
        return _tensor_rows(value, rows) if isinstance(value, torch.Tensor) else value[rows]
    if is_one(value) or (inside := opened(value)) is None:
        return value
    return inside.remade([rows_of(inner, samples, rows) for inner in inside.values])


def has_rows(value: Any, samples: int) -> bool:
    """Whether it has an entry per sample itself, not what is inside it.

    >>> has_rows([3, 1, 2], samples=3), has_rows(0.5, samples=3)
    (True, False)
    """
    if isinstance(value, PackedSequence):
        return int(value.batch_sizes[0]) == samples
    if isinstance(value, torch.Tensor):
        return value.ndim > 0 and value.size(0) == samples  # len() does not know nested tensors
    if isinstance(value, np.ndarray):
        return value.ndim > 0 and len(value) == samples
    is_list = isinstance(value, list | tuple) and not isinstance(value, Columns)
    return is_list and not is_namedtuple(value) and len(value) == samples


def _tensor_rows(value: torch.Tensor, rows: slice) -> torch.Tensor:
    """Sparse and nested tensors cannot be sliced."""
    if value.is_nested:
        parts = list(value.unbind())[rows]
        nested: torch.Tensor = torch.nested.as_nested_tensor(parts, layout=value.layout)
        return nested
    if value.layout is torch.strided:
        return value[rows]
    index = torch.arange(value.size(0), device=value.device)[rows]
    sparse: torch.Tensor = value.to_sparse_coo()  # type: ignore[no-untyped-call]
    return sparse.index_select(0, index).to_sparse(layout=value.layout)


def packed(sequences: list[torch.Tensor], like: PackedSequence) -> PackedSequence:
    """Packed like another one: sorted only where the sequences were given unsorted.

    >>> packed([torch.ones(1)], like=pack_sequence([torch.ones(2)])).data
    tensor([1.])
    """
    return pack_sequence(sequences, enforce_sorted=like.sorted_indices is None)
