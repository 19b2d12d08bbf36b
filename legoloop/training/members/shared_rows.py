"""What a group trains: the weights, gradients, moments and buffers of all members, a row each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from legoloop.training.members.row_steps import MOMENTS
from legoloop.training.members.rows import Rows
from legoloop.training.step.descent import GradientDescent


@dataclass(frozen=True)
class ParameterRows:
    """A parameter group of all members."""

    kind: type[torch.optim.Optimizer]
    names: list[str]
    weights: Rows
    gradients: Rows
    moments: Mapping[str, Rows]
    steps: torch.Tensor


class SharedRows:
    """The rows of a group.

    Args:
        like (GradientDescent): of one of the members, to lay out the rows by.
        size (int): how many rows there are.

    Attributes:
        groups: the parameter groups of the optimizers.
        weights: the trained parameters of all members by name.
        frozen: their other parameters.
        buffers: their buffers.
    """

    def __init__(self, like: GradientDescent, size: int) -> None:
        names = {id(p): name for name, p in like.model.named_parameters()}
        moments = MOMENTS[type(like.opt)]
        self.groups: list[ParameterRows] = []
        for settings in like.opt.param_groups:
            trained = [p for p in settings["params"] if p.requires_grad]
            data = [p.detach() for p in trained]
            self.groups.append(
                ParameterRows(
                    kind=type(like.opt),
                    names=[names[id(p)] for p in trained],
                    weights=Rows(data, size),
                    gradients=Rows(data, size),
                    moments={name: Rows(data, size) for name in moments},
                    steps=torch.zeros(size, dtype=torch.float32, device=data[0].device),
                )
            )
        self.weights = {
            name: each
            for rows in self.groups
            for name, each in zip(rows.names, rows.weights.stacked, strict=True)
        }
        self._gradients = [each for rows in self.groups for each in rows.gradients.stacked]
        self.frozen = {
            name: torch.stack([p.detach()] * size)
            for name, p in like.model.named_parameters()
            if not p.requires_grad
        }
        self.buffers = {
            name: torch.stack([buffer.detach()] * size)
            for name, buffer in like.model.named_buffers()
        }
        self._saved_buffers: list[torch.Tensor] = []

    @property
    def constants(self) -> dict[str, torch.Tensor]:
        """What the optimizers do not change."""
        return {**self.frozen, **self.buffers}

    @torch.no_grad()
    def take_gradients(self, gradients: Sequence[torch.Tensor]) -> None:
        """Copy the gradients of the weights of all members, in their order, into the rows."""
        torch._foreach_copy_(self._gradients, list(gradients))

    def save_buffers(self) -> None:
        """Keep them as they are before a pass."""
        buffers = list(self.buffers.values())
        if not self._saved_buffers:
            self._saved_buffers = [buffer.clone() for buffer in buffers]
        elif buffers:
            for saved, buffer in zip(self._saved_buffers, buffers, strict=True):
                saved.copy_(buffer)

    def restore_buffers(self, number: int) -> None:
        """Put those of one member back as they were before the last pass."""
        for buffer, saved in zip(self.buffers.values(), self._saved_buffers, strict=True):
            buffer[number].copy_(saved[number])
