"""The gradients of what an optimizer changes."""

from __future__ import annotations

from torch.optim import Optimizer


def forget_gradients(opt: Optimizer) -> None:
    """What ``opt.zero_grad()`` does, unless its class does something else, for a tenth of the time.

    >>> import torch
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
