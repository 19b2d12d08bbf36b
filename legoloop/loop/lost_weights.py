"""Whether the weights that are trained are in the state of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from legoloop.core.errors import PluginError
from legoloop.core.nested import named_tensors
from legoloop.core.shards import is_sharded
from legoloop.core.text import shorten
from legoloop.loop.held_objects import held_objects, held_tensors
from legoloop.loop.plugin import State


def reject_lost_weights(plugins: Mapping[str, object], state: Callable[[], State]) -> None:
    """Raises PluginError if a resumed run would go on with other weights than those it saved.

    Weights are what an optimizer has, or a plugin holds, and requires a gradient. Those of a module
    that a plugin holds, however deep, are saved; of any others the state must have the values.

    Args:
        plugins: by name.
        state: the state of the run; it is asked for only if there are any others.

    >>> class Descent:
    ...     def __init__(self, weight): self.opt = torch.optim.SGD([weight])
    >>> plugins = {"descent": Descent(torch.ones(2, requires_grad=True))}
    >>> reject_lost_weights(plugins, dict)
    Traceback (most recent call last):
    legoloop.core.errors.PluginError: these weights are trained and saved by no plugin, so a \
resumed run would begin anew with them: descent.opt.param_groups.0.params.0; hold the module \
that they are of as an attribute, or return them from state_dict and take them in load_state_dict
    """
    objects = {**plugins, **held_objects(plugins)}
    of_modules = {
        id(weight)
        for held in objects.values()
        if isinstance(held, nn.Module)
        for weight in held.parameters()
    }
    others = {
        path: weight for path, weight in _trained(plugins, objects) if id(weight) not in of_modules
    }
    if not others:
        return
    saved = [tensor for _, tensor in named_tensors(state())]
    lost = [path for path, weight in others.items() if not _is_among(weight, saved)]
    if lost:
        raise PluginError(
            "these weights are trained and saved by no plugin, so a resumed run would begin anew "
            f"with them: {shorten(lost)}; hold the module that they are of as an attribute, or "
            "return them from state_dict and take them in load_state_dict"
        )


def _trained(
    plugins: Mapping[str, object], objects: Mapping[str, Any]
) -> Iterator[tuple[str, torch.Tensor]]:
    seen: set[int] = set()
    for path, tensor in held_tensors(plugins):
        if tensor.is_leaf and tensor.requires_grad:
            seen.add(id(tensor))
            yield path, tensor
    for path, holder in objects.items():
        if not isinstance(holder, torch.optim.Optimizer):
            continue
        for number, group in enumerate(holder.param_groups):
            for position, weight in enumerate(group["params"]):
                if weight.requires_grad and id(weight) not in seen:
                    seen.add(id(weight))
                    yield f"{path}.param_groups.{number}.params.{position}", weight


def _is_among(weight: torch.Tensor, saved: list[torch.Tensor]) -> bool:
    """Whether the state has it or a copy of it, maybe on another device."""
    if is_sharded(weight):
        return True
    return any(
        weight.shape == value.shape and torch.equal(weight.detach().cpu(), value.detach().cpu())
        for value in saved
    )
