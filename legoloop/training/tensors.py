"""Which tensors are finite."""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from legoloop.core.nested import named_tensors


def are_finite(value: Any) -> bool:
    """Whether all values of a tensor, or of the tensors of a nested dict, list or tuple, are.

    >>> are_finite({"y": torch.tensor([1.0, float("nan")])})
    False
    """
    return all(bool(_is_finite(tensor).all()) for _, tensor in named_tensors(value))


def has_nan(tensor: torch.Tensor) -> bool:
    """Whether a value of it is nan.

    >>> has_nan(torch.tensor([1.0, float("inf")])), has_nan(torch.tensor(float("nan")))
    (False, True)
    """
    return bool(torch.isnan(_stored(tensor)).any())


def nonfinite_rows(value: Any, size: int) -> list[int]:
    """The rows that are not all finite, in tensors of shape (size, …).

    >>> nonfinite_rows({"y": torch.tensor([[1.0], [float("inf")]]), "scale": torch.ones(())}, 2)
    [1]
    """
    rows: set[int] = set()
    for _, tensor in named_tensors(value):
        if tensor.ndim and len(tensor) == size:
            is_finite = _is_finite(tensor.to_dense()).reshape(size, prod(tensor.shape[1:]))
            rows.update((~is_finite.all(dim=1)).nonzero()[:, 0].tolist())
    return sorted(rows)


def _is_finite(tensor: torch.Tensor) -> torch.Tensor:
    return torch.isfinite(_stored(tensor))


def _stored(tensor: torch.Tensor) -> torch.Tensor:
    """The elements; of a sparse tensor, those that it stores."""
    tensor = tensor.detach()
    if tensor.layout is torch.sparse_coo:
        tensor = tensor.coalesce()
    if tensor.layout is not torch.strided:
        tensor = tensor.values()
    # torch.isfinite does not support 8-bit floats
    is_float8 = tensor.is_floating_point() and tensor.itemsize == 1
    return tensor.float() if is_float8 else tensor
