"""The buffers of a model, kept so that a forward pass can be undone."""

from __future__ import annotations

from operator import is_
from typing import Any

import torch
from torch import nn

Place = tuple[dict[str, Any], str]
"""The dict of a module, and the name under which it holds a buffer."""


class BufferSnapshot:
    """Copies of some buffers of one data type, and the way back.

    >>> norm = nn.BatchNorm1d(1)
    >>> kept = BufferSnapshot.of(norm)
    >>> for buffers in kept: buffers.keep()
    >>> _ = norm(torch.tensor([[1.0], [3.0]]))
    >>> for buffers in kept: buffers.restore()
    >>> norm.running_mean, norm.num_batches_tracked
    (tensor([0.]), tensor(0))
    """

    def __init__(self, places: list[Place]) -> None:
        self.places = places
        self.found: list[torch.Tensor] = []
        self.copies: list[torch.Tensor] = []

    @classmethod
    def of(cls, model: nn.Module) -> list[BufferSnapshot]:
        """All buffers of a model, grouped by their type, since such are copied in one go."""
        places: dict[torch.dtype, list[Place]] = {}
        for module in model.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    places.setdefault(buffer.dtype, []).append((module._buffers, name))
        return [cls(of_type) for of_type in places.values()]

    def keep(self) -> None:
        """Remember them as they are now.

        A module changes a buffer in place or puts another tensor there; both can be undone.
        """
        found: list[torch.Tensor] = [buffers[name] for buffers, name in self.places]
        if len(self.found) == len(found) and all(map(is_, found, self.found)):
            torch._foreach_copy_(self.copies, found)
        else:
            self.copies = [buffer.clone() for buffer in found]
        self.found = found

    def restore(self) -> None:
        """Make them what they were when last kept."""
        for (buffers, name), buffer, copy in zip(self.places, self.found, self.copies, strict=True):
            buffer.copy_(copy)
            buffers[name] = buffer
