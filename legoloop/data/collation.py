"""Collating a list of records into a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils.data import default_collate

from legoloop.core.errors import DataError
from legoloop.core.protocols import Batch


def collate(records: Sequence[dict[str, Any]]) -> Batch:
    """Stack the records into a batch: numbers become tensors, strings a list.

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
        return default_collate(values)
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        shapes = {tuple(getattr(value, "shape", ())) for value in values}
        detail = f"shapes {sorted(shapes)}" if len(shapes) > 1 else str(error).splitlines()[0]
        raise DataError(f"the values of '{key}' do not stack into a batch: {detail}") from error
