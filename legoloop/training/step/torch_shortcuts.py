"""The gradients of what an optimizer changes."""

from __future__ import annotations

import torch
from torch.optim import Optimizer


def fast_zero_grad(opt: Optimizer) -> None:
    """What ``opt.zero_grad()`` does, unless it is somebody's own, for a tenth of the time.

    >>> weight = torch.zeros(1, requires_grad=True)
    >>> weight.grad = torch.ones(1)
    >>> fast_zero_grad(torch.optim.SGD([weight], lr=0.1))
    >>> weight.grad is None
    True
    """
    if getattr(type(opt), "zero_grad", None) is not _ZERO_GRAD or "zero_grad" in vars(opt):
        opt.zero_grad()
        return
    for group in opt.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


def fast_backward(loss: torch.Tensor) -> None:
    """What ``loss.backward()`` does, without what it asks for other kinds of tensors.

    >>> weight = torch.ones(1, requires_grad=True)
    >>> fast_backward((3 * weight).sum())
    >>> weight.grad
    tensor([3.])
    """
    if type(loss) is torch.Tensor:
        # Not from a one that is kept: gradients, and whoever changes them in place, may share it.
        torch.autograd.backward(loss)
    else:
        loss.backward()  # type: ignore[no-untyped-call]


_ZERO_GRAD = Optimizer.zero_grad
