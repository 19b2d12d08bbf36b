"""Collating a list of records into a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils.data import default_collate

from legoloop.core.errors import DataError
from legoloop.core.nested import Columns, is_namedtuple, opened
from legoloop.core.protocols import Batch


def collate(records: Sequence[dict[str, Any]]) -> Batch:
    """Stack the records into a batch: numbers become tensors, strings a list.

    Nested values stay nested: a dict, list, tuple or dataclass in a record is one of
    columns in the batch.

    Raises DataError if the records differ in keys or shapes.

    >>> collate([{"idx": "a", "x": 1.5}, {"idx": "b", "x": 2.5}])
    {'idx': ['a', 'b'], 'x': tensor([1.5000, 2.5000], dtype=torch.float64)}
    """
    keys = records[0].keys()
    for record in records:
        if record.keys() != keys:
            odd = ", ".join(sorted(map(str, record.keys() ^ keys)))
            raise DataError(f"records of a batch have different keys: {odd} not in all of them")
    return {key: _column(key, [record[key] for record in records]) for key in keys}


def _column(key: str, values: list[Any]) -> Any:
    try:
        return _stacked(values)
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        shapes = {tuple(getattr(value, "shape", ())) for value in values}
        detail = f"shapes {sorted(shapes)}" if len(shapes) > 1 else str(error).splitlines()[0]
        raise DataError(f"the values of '{key}' do not stack into a batch: {detail}") from error


def _stacked(values: list[Any]) -> Any:
    """One column of values; Columns where they are lists or tuples."""
    like = opened(values[0])
    if like is None:
        return default_collate(values)
    records = [_by_key(value) for value in values]
    if any(record.keys() != records[0].keys() for record in records):
        raise ValueError("they have not the same entries")
    columns = [_stacked([record[key] for record in records]) for key in like.keys]
    is_plain = isinstance(values[0], list | tuple) and not is_namedtuple(values[0])
    return Columns(columns) if is_plain else like.remade(columns)


def _by_key(container: Any) -> dict[Any, Any]:
    inside = opened(container)
    if inside is None:
        raise TypeError(f"one of them is a {type(container).__name__}")
    return dict(zip(inside.keys, inside.values, strict=True))
