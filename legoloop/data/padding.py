"""Collating records of different lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from legoloop.core.arguments import require_key
from legoloop.core.errors import DataError
from legoloop.core.protocols import Batch
from legoloop.data.collation import collate


class PadCollate:
    """Collate function that pads sequences at their end to the longest one.

    Columns that are not padded are stacked.

    Args:
        padding: the value that each column is padded with, by name; such a column has the shape
            (length, …) in a record and (batch, longest, …) in a batch.
        mask: the key of the mask in a batch, bool, shape (batch, longest): True for values, False
            for padding.

    Raises DataError if a record lacks one of the columns, or has them in different lengths.

    >>> pad = PadCollate({"tokens": 0})
    >>> pad([{"idx": 0, "tokens": torch.tensor([5, 6])}, {"idx": 1, "tokens": torch.tensor([7])}])
    {'idx': tensor([0, 1]), 'tokens': tensor([[5, 6],
            [7, 0]]), 'mask': tensor([[ True,  True],
            [ True, False]])}
    """

    def __init__(self, padding: Mapping[str, float], mask: str = "mask") -> None:
        self.padding = dict(padding)
        self.mask = mask

    def __call__(self, records: Sequence[dict[str, Any]]) -> Batch:
        """Make a batch of a list of records."""
        sequences = [self._sequences(record) for record in records]
        others = [
            {key: value for key, value in record.items() if key not in self.padding}
            for record in records
        ]
        lengths = torch.tensor([_length(of_record) for of_record in sequences])
        longest = torch.arange(int(lengths.max()))
        return {
            **(collate(others) if others[0] else {}),
            **{
                key: pad_sequence(
                    [s[key] for s in sequences], batch_first=True, padding_value=value
                )
                for key, value in self.padding.items()
            },
            self.mask: longest < lengths[:, None],
        }

    def _sequences(self, record: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {key: torch.as_tensor(require_key(record, key, "a record")) for key in self.padding}


def _length(sequences: Mapping[str, torch.Tensor]) -> int:
    lengths = {key: len(sequence) for key, sequence in sequences.items()}
    if len(set(lengths.values())) != 1:
        shown = ", ".join(f"{key}: {length}" for key, length in lengths.items())
        raise DataError(f"the sequences of a record differ in length ({shown or 'there are none'})")
    return next(iter(lengths.values()))
