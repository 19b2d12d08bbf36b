"""The gradients of what an optimizer changes."""

from __future__ import annotations

from functools import cache

import torch
from torch.optim import Optimizer


def forget_gradients(opt: Optimizer) -> None:
    """What ``opt.zero_grad()`` does, unless its class does something else, for a tenth of the time.

    >>> weight = torch.zeros(1, requires_grad=True)
    >>> weight.grad = torch.ones(1)
    >>> forget_gradients(torch.optim.SGD([weight], lr=0.1))
    >>> weight.grad is None
    True
    """
    if type(opt).zero_grad is not Optimizer.zero_grad:
        opt.zero_grad()
        return
    for group in opt.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


def backpropagate(loss: torch.Tensor) -> None:
    """What ``loss.backward()`` does for a scalar, from a one that is not made anew for each.

    >>> weight = torch.ones(1, requires_grad=True)
    >>> backpropagate((3 * weight).sum())
    >>> weight.grad
    tensor([3.])
    """
    if type(loss) is torch.Tensor:
        torch.autograd.backward(loss, _one(loss.dtype, loss.device))
    else:
        loss.backward()  # type: ignore[no-untyped-call]


@cache
def _one(dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    return torch.ones((), dtype=dtype, device=device)
