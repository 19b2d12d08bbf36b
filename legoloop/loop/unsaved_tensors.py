"""Tensors that a module carries from batch to batch, and that no state has."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from torch import nn

from legoloop.core.shards import is_sharded
from legoloop.core.text import shorten
from legoloop.loop.held_objects import held_objects, held_tensors

log = logging.getLogger("legoloop")

STEPS = 2
"""What is made once, such as a mask, is there after the first step and the same after the next."""


class UnsavedTensors:
    """Warns of plain attributes of modules that hold a tensor which changes from step to step.

    A hidden state or a memory bank that is no buffer is in no state dict: a run that is resumed
    goes on without it. What is computed anew from parameters, and so has a graph, does not count,
    nor what torch keeps in a module of which each rank has a shard.

    Args:
        plugins (Mapping[str, object]): by name.
        host (object): is not looked into.

    >>> class Counts(nn.Module):
    ...     def forward(self): self.seen = getattr(self, "seen", torch.zeros(())) + 1
    >>> class Plugin: ...
    >>> plugin = Plugin()
    >>> plugin.model = Counts()
    >>> unsaved = UnsavedTensors({"plugin": plugin}, host=None)
    >>> for _ in range(2):
    ...     plugin.model()
    ...     unsaved.look()
    >>> unsaved.changed
    ['plugin.model.seen']
    """

    def __init__(self, plugins: Mapping[str, object], host: object) -> None:
        self._plugins = plugins
        self._host = host
        self._steps = 0
        self._before: dict[str, torch.Tensor] = {}
        self.changed: list[str] = []

    @property
    def is_done(self) -> bool:
        """Whether it has looked often enough."""
        return self._steps >= STEPS

    def look(self) -> None:
        """Look after a step; after the second one, warn of what has changed since the first."""
        self._steps += 1
        found = self._found()
        if not self.is_done:
            self._before = {path: tensor.clone() for path, tensor in found.items()}
            return
        self.changed = [
            path
            for path, tensor in found.items()
            if path in self._before and not _are_equal(tensor, self._before[path])
        ]
        self._before = {}
        if self.changed:
            log.warning(
                "these change from step to step and are in no checkpoint: %s; if a step depends "
                "on what the one before left there, make it a buffer with register_buffer "
                "(docs/state_over_batches.md)",
                shorten(self.changed),
            )

    def _found(self) -> dict[str, torch.Tensor]:
        objects = {**self._plugins, **held_objects(self._plugins, but=[self._host])}
        modules = {
            path: held
            for path, held in objects.items()
            if isinstance(held, nn.Module) and not any(map(is_sharded, held.parameters()))
        }
        known = {id(tensor) for module in modules.values() for tensor in _own_tensors(module)}
        return {
            path: tensor
            for path, tensor in held_tensors(modules, but=[self._host])
            if id(tensor) not in known and not tensor.requires_grad and _has_memory(tensor)
        }


def _own_tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]


def _has_memory(tensor: torch.Tensor) -> bool:
    """What torch keeps for later use may be a tensor whose memory is given back meanwhile."""
    if tensor.layout is not torch.strided or tensor.is_meta:
        return False
    return tensor.numel() == 0 or tensor.untyped_storage().nbytes() > 0


def _are_equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)
