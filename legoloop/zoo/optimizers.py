"""Optimizers that torch does not have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from legoloop.core.arguments import above_zero, probability
from legoloop.core.errors import ArgumentError


class Lion(torch.optim.Optimizer):
    """Lion: steps by the sign of a momentum, with decoupled weight decay.

    Every element moves by ``lr``, so it takes a third to a tenth of the rate of AdamW, and as many
    times its weight decay. After Chen et al., "Symbolic Discovery of Optimization Algorithms"
    (2023).

    Args:
        params (Iterable): the parameters, or groups of them.
        lr (float): the learning rate.
        betas (tuple[float, float]): the share of the momentum in a step, and in itself.
        weight_decay (float): the share of a weight that goes away in a step of rate 1.

    Raises ArgumentError for values out of range.

    >>> weight = torch.zeros(2, requires_grad=True)
    >>> weight.grad = torch.tensor([3.0, -4.0])
    >>> Lion([weight], lr=0.5).step()
    >>> weight.detach()
    tensor([-0.5000,  0.5000])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        above_zero(lr=lr)
        if not weight_decay >= 0:
            raise ArgumentError(
                f"is {weight_decay}", argument="weight_decay", remedy="give a number of at least 0"
            )
        for number, beta in enumerate(betas):
            probability(**{f"betas[{number}]": beta})
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make a step; returns the loss of the closure, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            given = [weight for weight in group["params"] if weight.grad is not None]
            if given:
                self._step(given, group["lr"], group["betas"], group["weight_decay"])
        return loss

    def _step(
        self, weights: list[Any], lr: float, betas: tuple[float, float], weight_decay: float
    ) -> None:
        gradients = [weight.grad for weight in weights]
        states = [self.state[weight] for weight in weights]
        for state, weight in zip(states, weights, strict=True):
            if "exp_avg" not in state:
                state["exp_avg"] = torch.zeros_like(weight)
        momenta = [state["exp_avg"] for state in states]
        if weight_decay:
            torch._foreach_mul_(weights, 1 - lr * weight_decay)
        steps = torch._foreach_lerp(momenta, gradients, 1 - betas[0])
        torch._foreach_sign_(steps)
        torch._foreach_add_(weights, steps, alpha=-lr)
        torch._foreach_lerp_(momenta, gradients, 1 - betas[1])
