"""Tensors of which each rank holds a shard, and the whole tensors that files hold.

A sharded tensor is a DTensor of torch's. All ranks make one whole together: it is a collective.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from types import SimpleNamespace
from typing import Any, TypeVar

import torch
from torch import nn

from legoloop.core.compiled_names import with_names_of
from legoloop.core.nested import map_nested, named_tensors

T = TypeVar("T")

TEMPLATE = "_template_before_sharding"
"""The attribute of a sharded model under which a copy without memory is kept."""


def is_sharded(value: Any) -> bool:
    """Whether a tensor is one of which each rank holds a shard.

    >>> is_sharded(torch.zeros(1))
    False
    """
    return isinstance(value, torch.Tensor) and hasattr(value, "full_tensor")


def whole(value: T) -> T:
    """The value with every sharded tensor in it made whole.

    >>> whole({"weight": torch.ones(1), "epoch": 3})
    {'weight': tensor([1.]), 'epoch': 3}
    """
    if not any(is_sharded(tensor) for _, tensor in named_tensors(value)):
        return value
    made: T = map_nested(lambda each: each.full_tensor() if is_sharded(each) else each, value)
    return made


def local(tensor: torch.Tensor) -> torch.Tensor:
    """The shard that this rank holds; of any other tensor, all of it. It shares the memory.

    >>> local(torch.ones(1))
    tensor([1.])
    """
    shard: torch.Tensor = tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]
    return shard


def sharded_like(value: Any, like: Any) -> Any:
    """A whole tensor, of which this rank keeps the shard that it holds of another one.

    >>> sharded_like(torch.ones(1), like=torch.zeros(1))
    tensor([1.])
    """
    if not is_sharded(like) or is_sharded(value):
        return value
    from torch.distributed.tensor import distribute_tensor

    moved = value.to(like.device)
    # Every rank has all of it, so nothing has to be sent.
    return distribute_tensor(moved, like.device_mesh, like.placements, src_data_rank=None)


def load_whole(module: nn.Module, state: Mapping[str, Any]) -> None:
    """``module.load_state_dict`` of whole tensors, into a module that may be sharded or compiled.

    >>> layer = nn.Linear(1, 1, bias=False)
    >>> load_whole(layer, {"weight": torch.ones(1, 1)})
    >>> layer.weight.item()
    1.0
    """
    own = module.state_dict()
    state = with_names_of(own, state)
    if not any(map(is_sharded, own.values())):
        module.load_state_dict(state)
        return
    module.load_state_dict({key: sharded_like(state[key], own.get(key)) for key in state})


def keep_template(model: nn.Module) -> None:
    """Before it is sharded: keep a copy of a model without memory, since then it has none."""
    template = _copied_with(model, lambda t: torch.empty_like(t, device="meta"))
    # In a namespace, so that it is no module of the model, nor state that the host looks for.
    model.__dict__[TEMPLATE] = SimpleNamespace(model=template)


def copy_of_sharded(model: nn.Module) -> nn.Module | None:
    """An unsharded copy of a sharded model, its weights not set; None if it is not sharded.

    >>> copy_of_sharded(nn.Linear(1, 1))
    """
    kept = model.__dict__.get(TEMPLATE)
    if kept is None:
        return None
    device = next(model.parameters()).device
    return _copied_with(kept.model, lambda t: torch.empty_like(t, device=device))


def _copied_with(model: nn.Module, make: Any) -> nn.Module:
    """A copy with other tensors in the place of its own; those that are shared stay so."""
    memo: dict[int, Any] = {}
    for weight in model.parameters():
        memo[id(weight)] = nn.Parameter(make(weight.detach()), weight.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = make(buffer)
    return deepcopy(model, memo)
