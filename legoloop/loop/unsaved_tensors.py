"""What a module, or a function with attributes, carries from batch to batch and no state has."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from legoloop.core.shards import is_sharded
from legoloop.core.text import shorten
from legoloop.loop.held_objects import held_objects, held_tensors
from legoloop.loop.references import attributes

log = logging.getLogger("legoloop")

Carried = torch.Tensor | int | float
STEPS = 2
"""What is made once, such as a mask, is there after the first step and the same after the next."""


class UnsavedTensors:
    """Warns of attributes, and buffers that no state has, which change from step to step.

    A hidden state, a memory bank or a counter that is no buffer is in no state dict: a run that is
    resumed goes on without it. Modules are looked at, and what can be called and has no state, such
    as a loss or a transform. What is computed anew from parameters, and so has a graph, does not
    count, nor what torch keeps in a module of which each rank has a shard.

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
        self._before: dict[str, Carried] = {}
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
            self._before = {path: _copied(value) for path, value in found.items()}
            return
        self.changed = [
            path
            for path, value in found.items()
            if path in self._before and not _are_equal(value, self._before[path])
        ]
        self._before = {}
        if self.changed:
            log.warning(
                "these change from step to step and are in no checkpoint: %s; if a step depends "
                "on what the one before left there, make it a buffer with register_buffer, "
                "or define state_dict and load_state_dict (docs/state_over_batches.md)",
                shorten(self.changed),
            )

    def _found(self) -> dict[str, Carried]:
        held = held_objects(self._plugins, but=[self._host])
        modules = {
            path: each
            for path, each in {**self._plugins, **held}.items()
            if isinstance(each, nn.Module) and not any(map(is_sharded, each.parameters()))
        }
        called = {path: each for path, each in held.items() if _is_called_without_state(each)}
        known = {id(tensor) for module in modules.values() for tensor in _own_tensors(module)}
        found: dict[str, Carried] = {
            path: tensor
            for path, tensor in held_tensors({**modules, **called}, but=[self._host])
            if id(tensor) not in known and not tensor.requires_grad and _has_memory(tensor)
        }
        for path, module in modules.items():
            for name, value in _carried_by(module):
                found[f"{path}.{name}"] = value
        for path, each in called.items():
            found.update({f"{path}.{name}": number for name, number in _numbers(each)})
        return found


def _carried_by(module: nn.Module) -> Iterator[tuple[str, Carried]]:
    """Buffers that are not in the state dict, and numbers in attributes."""
    for path, inner in module.named_modules():
        for name, value in (
            *((name, inner._buffers[name]) for name in inner._non_persistent_buffers_set),
            *(() if _saves_more(inner) else _numbers(inner)),
        ):
            if isinstance(value, int | float) or (value is not None and _has_memory(value)):
                yield f"{path}.{name}".removeprefix("."), value


def _saves_more(module: nn.Module) -> bool:
    kind = type(module)
    return (
        kind.get_extra_state is not nn.Module.get_extra_state
        or kind.state_dict is not nn.Module.state_dict
    )


def _numbers(holder: Any) -> Iterator[tuple[str, float]]:
    """Those in attributes of an object of the user's."""
    if not _is_of_user(type(holder)):
        return
    for name, value in attributes(holder):
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield name, value


def _is_called_without_state(held: Any) -> bool:
    kind = type(held)
    return (
        _is_of_user(kind)
        and callable(held)
        and not isinstance(held, nn.Module)
        and not hasattr(kind, "state_dict")
    )


def _is_of_user(kind: type) -> bool:
    return kind.__module__.partition(".")[0] not in ("legoloop", "torch", "numpy")


def _own_tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]


def _has_memory(tensor: torch.Tensor) -> bool:
    """What torch keeps for later use may be a tensor whose memory is given back meanwhile."""
    if tensor.layout is not torch.strided or tensor.is_meta:
        return False
    return tensor.numel() == 0 or tensor.untyped_storage().nbytes() > 0


def _copied(value: Carried) -> Carried:
    return value.clone() if isinstance(value, torch.Tensor) else value


def _are_equal(one: Carried, other: Carried) -> bool:
    """nan equals itself here."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if one.shape != other.shape or one.dtype != other.dtype:
            return False
        return torch.equal(one, other) or bool(
            ((one == other) | (one != one) & (other != other)).all()
        )
    return bool(one == other or (one != one and other != other))
