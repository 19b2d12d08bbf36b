"""Collating a list of records into a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch.utils.data import default_collate

from legoloop.core.errors import DataError
from legoloop.core.nested import Columns, is_namedtuple, with_items
from legoloop.core.protocols import Batch


def collate(records: Sequence[dict[str, Any]]) -> Batch:
    """Stack the records into a batch: numbers become tensors, strings a list.

    Nested values stay nested: a dict, list or tuple in a record is one of columns in the batch.

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
        return _marked(default_collate(values), values[0])
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        shapes = {tuple(getattr(value, "shape", ())) for value in values}
        detail = f"shapes {sorted(shapes)}" if len(shapes) > 1 else str(error).splitlines()[0]
        raise DataError(f"the values of '{key}' do not stack into a batch: {detail}") from error


def _marked(column: Any, value: Any) -> Any:
    """A column with Columns where a record has a list or tuple, one of which is ``value``."""
    if isinstance(value, Mapping):
        return with_items(column, {key: _marked(column[key], value[key]) for key in value})
    if isinstance(value, list | tuple):
        items = list(map(_marked, column, value))
        return with_items(column, items) if is_namedtuple(column) else Columns(items)
    return column
