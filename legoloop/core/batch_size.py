"""The size of a batch: in samples, or in tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from legoloop.core.arguments import require_key


class DefaultBatchDesc:
    """The number of samples in a batch, a dict of columns: the length of the first one.

    >>> DefaultBatchDesc()({"idx": [3, 1, 2], "target": [0, 0, 1]})
    3
    """

    def __call__(self, batch: Mapping[str, Any]) -> int:
        """The number of samples."""
        column = next(iter(batch.values()))
        shape = getattr(column, "shape", None)  # len() of a tensor costs several times as much
        return shape[0] if shape else len(column)


class TokenBatchDesc:
    """The number of tokens in a batch: the number of True entries of its mask.

    Given to an epoch as ``batch_desc``, it makes the epoch, the counter and the mean of the loss
    count tokens instead of samples; given to a descent, it weighs micro-batches by their tokens.

    Args:
        mask (str): the key of the mask in the batch, a bool tensor of any shape.

    Raises DataError for a batch without the mask.

    >>> import torch
    >>> TokenBatchDesc()({"mask": torch.tensor([[True, True], [True, False]])})
    3
    """

    def __init__(self, mask: str = "mask") -> None:
        self.mask = mask

    def __call__(self, batch: Mapping[str, Any]) -> int:
        """The number of tokens."""
        return int(require_key(batch, self.mask, "the batch").sum())
