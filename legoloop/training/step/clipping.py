"""Gradients that are kept from being too large."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm

from legoloop.core.errors import ArgumentError
from legoloop.core.protocols import Scalars
from legoloop.loop.plugin import State
from legoloop.training.running_mean import RunningMean


class GradientClipping:
    """Clips gradients before the optimizer's step, and is a source: their norm as it was before.

    Given to a descent as ``clip``. With ``max_norm`` all gradients are scaled together, so that
    their norm is at most that; with ``max_value`` each number is brought between minus and plus
    that; with neither they are only measured. The scalar is the mean norm, of the kind
    ``norm_type``, over the steps of the epoch, summed on the device.

    Raises ArgumentError if both are given, or one that is not above 0.

    >>> clipping = GradientClipping(max_norm=1.0)
    >>> weight = torch.zeros(2, requires_grad=True)
    >>> weight.grad = torch.tensor([3.0, 4.0])
    >>> clipping([weight])
    >>> weight.grad
    tensor([0.6000, 0.8000])
    >>> clipping.scalars()
    {'gradient_norm': 5.0}
    """

    def __init__(
        self,
        max_norm: float | None = None,
        max_value: float | None = None,
        norm_type: float = 2.0,
        tag: str = "gradient_norm",
    ) -> None:
        for name, most in {"max_norm": max_norm, "max_value": max_value}.items():
            if most is not None and not most > 0:
                raise ArgumentError(
                    f"is {most}", argument=name, remedy="give a number above 0, or None"
                )
        if max_norm is not None and max_value is not None:
            raise ArgumentError(
                f"is {max_value} and max_norm is {max_norm}",
                argument="max_value",
                remedy="give one of them",
            )
        self.max_norm = max_norm
        self.max_value = max_value
        self.norm_type = norm_type
        self.mean = RunningMean(tag)

    def __call__(self, parameters: Sequence[torch.Tensor]) -> None:
        """Clip the gradients that these parameters have."""
        gradients = [weight.grad for weight in parameters if weight.grad is not None]
        norm = get_total_norm(gradients, self.norm_type)
        if self.max_norm is not None:
            clip_grads_with_norm_(parameters, self.max_norm, norm)
        elif self.max_value is not None:
            clip_grad_value_(parameters, self.max_value)
        self.mean.add(norm)

    def epoch_start(self) -> None:
        """A new mean."""
        self.mean.clear()

    def scalars(self) -> Scalars:
        """The mean norm so far; nothing before the first step."""
        return self.mean.scalars()

    def state_dict(self) -> State:
        """The sum so far."""
        return {"total": self.mean.total, "steps": self.mean.weight}

    def load_state_dict(self, state: State) -> None:
        """Add on from there."""
        self.mean.take(state["total"], state["steps"])
