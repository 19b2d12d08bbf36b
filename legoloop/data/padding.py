"""Collating records of different lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from legoloop.core.arguments import require_key
from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.protocols import Batch
from legoloop.data.collation import collate


class PadCollate:
    """Collate function that pads sequences at their end to the longest one.

    Columns that are not padded are stacked. Columns in a group, such as those of a source and those
    of a target, have lengths and a mask of their own.

    Args:
        padding: the value that each column is padded with, by name; such a column has the shape
            (length, …) in a record and (batch, longest, …) in a batch. Or the columns of a group,
            by its name.
        mask: the key of the mask in a batch, bool, shape (batch, longest): True for values, False
            for padding. That of a group is its name, an underscore and this.

    Raises ArgumentError for a column that is in two groups, DataError if a record lacks one of the
    columns, or has those of a group in different lengths.

    >>> pad = PadCollate({"tokens": 0})
    >>> pad([{"idx": 0, "tokens": torch.tensor([5, 6])}, {"idx": 1, "tokens": torch.tensor([7])}])
    {'idx': tensor([0, 1]), 'tokens': tensor([[5, 6],
            [7, 0]]), 'mask': tensor([[ True,  True],
            [ True, False]])}
    >>> pad = PadCollate({"source": {"words": 0}, "target": {"said": 0, "next": -100}})
    >>> list(pad([{"words": [4], "said": [1, 2], "next": [2, 3]}]))
    ['words', 'source_mask', 'said', 'next', 'target_mask']
    """

    def __init__(
        self, padding: Mapping[str, float | Mapping[str, float]], mask: str = "mask"
    ) -> None:
        self.mask = mask
        plain = {name: value for name, value in padding.items() if not isinstance(value, Mapping)}
        groups = {
            f"{name}_{mask}": dict(group)
            for name, group in padding.items()
            if isinstance(group, Mapping)
        }
        self.groups = {mask: plain, **groups} if plain or not groups else groups
        columns = [column for group in self.groups.values() for column in group]
        for column in columns:
            if columns.count(column) > 1:
                raise ArgumentError(
                    f"has '{column}' twice", argument="padding", remedy="give it to one group"
                )
        self._columns = frozenset(columns)

    def __call__(self, records: Sequence[dict[str, Any]]) -> Batch:
        """Make a batch of a list of records."""
        others = [
            {key: value for key, value in record.items() if key not in self._columns}
            for record in records
        ]
        batch = collate(others) if others[0] else {}
        for mask, padding in self.groups.items():
            batch = {**batch, **_padded(records, padding, mask)}
        return batch


def _padded(records: Sequence[dict[str, Any]], padding: Mapping[str, float], mask: str) -> Batch:
    """The columns of a group, and their mask."""
    sequences = [
        {key: _sequence(require_key(record, key, "a record")) for key in padding}
        for record in records
    ]
    lengths = torch.tensor([_length(of_record) for of_record in sequences])
    longest = torch.arange(int(lengths.max()))
    return {
        **{
            key: pad_sequence([s[key] for s in sequences], batch_first=True, padding_value=value)
            for key, value in padding.items()
        },
        mask: longest < lengths[:, None],
    }


def _sequence(values: Any) -> torch.Tensor:
    """Copied if need be: torch warns of an array that it cannot write to."""
    is_read_only = isinstance(values, np.ndarray) and not values.flags.writeable
    return torch.as_tensor(values.copy() if is_read_only else values)


def _length(sequences: Mapping[str, torch.Tensor]) -> int:
    lengths = {key: len(sequence) for key, sequence in sequences.items()}
    if len(set(lengths.values())) != 1:
        shown = ", ".join(f"{key}: {length}" for key, length in lengths.items())
        raise DataError(f"the sequences of a record differ in length ({shown or 'there are none'})")
    return next(iter(lengths.values()))
