"""A batch that is yet to be fetched, for whoever fetches several at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from legoloop.core.batch_size import SizedBatch


class IndexBatch(SizedBatch):
    """The indices of a batch, in the place of its columns.

    Args:
        indices (torch.Tensor): of the samples, int64, shape (samples,).
        rows (Callable): gives the columns for such indices; that of one data set is equal for all
            of its batches.

    >>> batch = IndexBatch(torch.tensor([3, 1]), lambda indices: {"x": 2 * indices})
    >>> len(batch), batch.num_samples, batch.fetched()
    (0, 2, {'x': tensor([6, 2])})
    """

    __slots__ = ("indices", "rows")

    def __init__(
        self, indices: torch.Tensor, rows: Callable[[torch.Tensor], dict[str, Any]]
    ) -> None:
        super().__init__((), indices.size(0))  # a third of what len takes
        self.indices = indices
        self.rows = rows

    def fetched(self) -> SizedBatch:
        """The batch."""
        return SizedBatch(self.rows(self.indices), self.num_samples)
