"""Whether an optimizer takes a closure."""

from __future__ import annotations

from inspect import Parameter, signature

import torch


def needs_closure(opt: torch.optim.Optimizer) -> bool:
    """Whether ``step`` asks for a closure, which evaluates the loss as often as it is called.

    >>> weight = torch.zeros(1, requires_grad=True)
    >>> needs_closure(torch.optim.LBFGS([weight])), needs_closure(torch.optim.Adam([weight]))
    (True, False)
    """
    closure = signature(type(opt).step).parameters.get("closure")
    return closure is not None and closure.default is Parameter.empty
