"""Digest of a data set, to compare the data of two runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from legoloop.core.nested import opened
from legoloop.data.datasets import ColumnDataset
from legoloop.data.positional_rng import PositionalRng

MAX_BYTES = 2**28
"""Columns up to this size are read completely, in a quarter of a second at most."""

SAMPLES = 16
"""The number of records read from a data set without columns, where each may be a file."""


def fingerprint(dataset: Any) -> str | None:
    """The digest of a data set, a function of its data alone; None if they cannot be read.

    Of a ColumnDataset all bytes of all columns count, without the transform; of columns larger than
    256 MiB, and of any other data set, the length and a few evenly spaced records. The global
    generators are not advanced.

    >>> one, other = ({"x": torch.tensor(x)} for x in ([1, 2], [1, 3]))
    >>> fingerprint(ColumnDataset(one)) == fingerprint(ColumnDataset(one))
    True
    >>> fingerprint(ColumnDataset(one)) == fingerprint(ColumnDataset(other))
    False
    """
    digest = hashlib.sha256()
    try:
        for part in _parts(dataset):
            digest.update(part)
    except Exception:  # the run itself reports what is wrong with a record
        return None
    return digest.hexdigest()[:16]


def _parts(dataset: Any) -> Iterator[Any]:
    yield f"{type(dataset).__qualname__} {len(dataset)}".encode()
    if isinstance(dataset, ColumnDataset):
        columns = dataset.columns
        if dataset.nbytes > MAX_BYTES:
            columns = dataset.rows(_evenly_spaced(len(dataset), 2**10))
        yield from _bytes(columns)
    else:
        for record in _records(dataset, _evenly_spaced(len(dataset), SAMPLES)):
            yield from _bytes(record)


def _evenly_spaced(length: int, count: int) -> list[int]:
    """Evenly spaced positions, including the first and the last; all of them if there are fewer.

    >>> _evenly_spaced(100, 4), _evenly_spaced(3, 4)
    ([0, 33, 66, 99], [0, 1, 2])
    """
    if length <= count:
        return list(range(length))
    return [place * (length - 1) // (count - 1) for place in range(count)]


def _records(dataset: Any, positions: Sequence[int]) -> Iterator[Any]:
    rng = PositionalRng(0, "fingerprint")
    for position in positions:
        with rng.active():
            rng.seed_for(position)
            whole = hasattr(dataset, "__getitems__")
            record = dataset.__getitems__([position]) if whole else dataset[position]
        yield record


def _bytes(value: Any) -> Iterator[Any]:
    """A value as bytes, its kind and shape before it, so that no two values look alike."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        yield f"{value.dtype} {tuple(value.shape)}".encode()
        yield value.flatten().view(torch.uint8).numpy()
    elif isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        yield f"{value.dtype} {value.shape}".encode()
        yield value.tobytes()
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)}".encode()
        for key in sorted(value, key=str):
            yield from _bytes(key)
            yield from _bytes(value[key])
    elif isinstance(value, list | tuple):
        yield f"list {len(value)}".encode()
        for item in value:
            yield from _bytes(item)
    elif isinstance(value, bool | int | float | complex | str | bytes | None):
        yield f"{type(value).__name__} {value!r};".encode()
    elif (inside := opened(value)) is not None:
        yield f"{type(value).__qualname__} {len(inside.values)}".encode()
        for item in inside.values:
            yield from _bytes(item)
    else:
        raise TypeError(f"a {type(value).__name__} has no bytes of its own")
