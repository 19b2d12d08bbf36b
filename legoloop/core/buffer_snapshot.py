"""Snapshots of a model's buffers, to undo what a forward pass does to them."""

from __future__ import annotations

from operator import is_
from typing import Any

import torch
from torch import nn

BufferSlot = tuple[dict[str, Any], str]
"""The dict of a module, and the name under which it holds a buffer."""


class BufferSnapshot:
    """Saves and restores some buffers of one data type.

    >>> norm = nn.BatchNorm1d(1)
    >>> snapshots = BufferSnapshot.of(norm)
    >>> for snapshot in snapshots: snapshot.save()
    >>> _ = norm(torch.tensor([[1.0], [3.0]]))
    >>> for snapshot in snapshots: snapshot.restore()
    >>> norm.running_mean, norm.num_batches_tracked
    (tensor([0.]), tensor(0))
    """

    def __init__(self, slots: list[BufferSlot]) -> None:
        self.slots = slots
        self.found: list[torch.Tensor] = []
        self.copies: list[torch.Tensor] = []

    @classmethod
    def of(cls, model: nn.Module) -> list[BufferSnapshot]:
        """All buffers of a model, grouped by their type, since such are copied in one go."""
        slots: dict[torch.dtype, list[BufferSlot]] = {}
        for module in model.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    slots.setdefault(buffer.dtype, []).append((module._buffers, name))
        return [cls(of_type) for of_type in slots.values()]

    def save(self) -> None:
        """Copy the buffers as they are now.

        A module changes a buffer in place or puts another tensor there; both can be undone.
        """
        found: list[torch.Tensor] = [buffers[name] for buffers, name in self.slots]
        if len(self.found) == len(found) and all(map(is_, found, self.found)):
            torch._foreach_copy_(self.copies, found)
        else:
            self.copies = [buffer.clone() for buffer in found]
        self.found = found

    def restore(self) -> None:
        """Put back the buffers that were there, with the values that they had when saved."""
        for (buffers, name), buffer, copy in zip(self.slots, self.found, self.copies, strict=True):
            buffer.copy_(copy)
            buffers[name] = buffer
