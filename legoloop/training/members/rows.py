"""Tensors of several members as the rows of one matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch


class Rows:
    """A matrix with a row for each member; each tensor of a member is a view of its row.

    Args:
        likes (Sequence[torch.Tensor]): the tensors of one member, of one dtype and device; those of
            all members have their shapes and strides.
        members (int): how many members there are.

    Attributes:
        matrix (torch.Tensor): shape (members, elements), zeros at first.
        stacked (list[torch.Tensor]): for each tensor that of all members, shape (members, …).

    >>> rows = Rows([torch.zeros(2), torch.zeros(1, 3)], members=4)
    >>> rows.matrix.shape, [each.shape[1:] for each in rows.stacked]
    (torch.Size([4, 5]), [torch.Size([2]), torch.Size([1, 3])])
    """

    def __init__(self, likes: Sequence[torch.Tensor], members: int) -> None:
        size = sum(like.numel() for like in likes)
        self.matrix = torch.zeros(members, size, dtype=likes[0].dtype, device=likes[0].device)
        self.stacked = list(_views(self.matrix, likes))
        self._of = [[each[member] for each in self.stacked] for member in range(members)]

    def of(self, member: int) -> list[torch.Tensor]:
        """The tensors of one member."""
        return self._of[member]


def _views(matrix: torch.Tensor, likes: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
    """The columns of each tensor, with the order of dimensions that it has in memory."""
    at = 0
    for like in likes:
        columns = matrix[:, at : at + like.numel()]
        order = _order_in_memory(like)
        back = [order.index(dim) + 1 for dim in range(like.ndim)]
        shape = [like.shape[dim] for dim in order]
        yield columns.view(len(matrix), *shape).permute(0, *back)
        at += like.numel()


def _order_in_memory(tensor: torch.Tensor) -> list[int]:
    """Its dimensions, that with the largest stride first."""
    strides = tensor.stride()
    return sorted(range(tensor.ndim), key=lambda dim: (-strides[dim], dim))
