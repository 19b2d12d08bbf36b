"""The buffers of a model: snapshots, to undo what a forward pass does to them, and their memory."""

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
        self.memory: list[torch.Tensor] = []
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
            torch._foreach_copy_(self.copies, self.memory)
        else:
            self.memory = list(map(unexpanded, found))
            self.copies = [memory.clone() for memory in self.memory]
        self.found = found

    def restore(self) -> None:
        """Put back the buffers that were there, with the values that they had when saved."""
        for memory, copy in zip(self.memory, self.copies, strict=True):
            memory.copy_(copy)
        for (buffers, name), buffer in zip(self.slots, self.found, strict=True):
            buffers[name] = buffer


def unexpanded(tensor: torch.Tensor) -> torch.Tensor:
    """A view with each element in memory once, since torch does not write into an expanded one.

    >>> unexpanded(torch.zeros(2, 1).expand(2, 9)).shape
    torch.Size([2, 1])
    """
    if tensor.layout is torch.strided:
        for dim, (size, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
            if stride == 0 and size > 1:
                tensor = tensor.narrow(dim, 0, 1)
    return tensor


def own_expanded_buffers(model: nn.Module) -> None:
    """Give buffers that ``expand()`` made memory of their own, so that a state can be loaded.

    >>> model = nn.Module()
    >>> model.register_buffer("mask", torch.zeros(1).expand(3))
    >>> own_expanded_buffers(model)
    >>> model.load_state_dict({"mask": torch.ones(3)})
    <All keys matched successfully>
    """
    owned: dict[int, torch.Tensor] = {}
    for module in model.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and unexpanded(buffer) is not buffer:
                module._buffers[name] = owned.setdefault(id(buffer), buffer.contiguous())


def is_running_statistic(name: str) -> bool:
    """Whether a buffer of this name is a running statistic, such as those of a batch norm.

    >>> is_running_statistic("layers.1.running_var"), is_running_statistic("mask")
    (True, False)
    """
    return name.rpartition(".")[2].startswith("running_")
