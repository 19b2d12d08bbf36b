"""Gradient clipping."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm

from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.protocols import Scalars
from legoloop.core.shards import whole
from legoloop.core.text import shorten
from legoloop.loop.plugin import State
from legoloop.training.running_mean import RunningMean


class GradientClipping:
    """Clips gradients before the optimizer step; source of the mean norm before clipping.

    Given to a GradientDescent as ``clip``. With neither limit, gradients are only measured.

    Args:
        max_norm: scales all gradients together, so that their total norm is at most this.
        max_value: clamps each element to [-max_value, max_value].
        norm_type: the order of the norm, such as 2.0 or ``inf``.
        tag: the name of the scalar, the mean norm over the epoch.

    Raises ArgumentError if both limits are given, or one that is not above 0, and DataError for
    sparse gradients.

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
        for name, limit in {"max_norm": max_norm, "max_value": max_value}.items():
            if limit is not None and not limit > 0:
                raise ArgumentError(
                    f"is {limit}", argument=name, remedy="give a number above 0, or None"
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
        """Clip the gradients of these parameters in place."""
        gradients = [weight.grad for weight in parameters if weight.grad is not None]
        try:
            norm = get_total_norm(gradients, self.norm_type)
        except (NotImplementedError, RuntimeError) as error:
            sparse = [tuple(g.shape) for g in gradients if g.layout is not torch.strided]
            if not sparse:
                raise
            raise DataError(
                f"the gradients of parameters of shape {shorten(sparse)} are sparse, which torch "
                "cannot clip; give sparse=False to the embedding, or no clip to the descent"
            ) from error
        if self.max_norm is not None:
            clip_grads_with_norm_(parameters, self.max_norm, norm)
        elif self.max_value is not None:
            clip_grad_value_(parameters, self.max_value)
        self.mean.add(whole(norm))

    def epoch_start(self) -> None:
        self.mean.reset()

    def scalars(self) -> Scalars:
        """The mean norm of the epoch so far; empty before the first step."""
        return self.mean.scalars()

    def state_dict(self) -> State:
        """The sum of the norms and their number."""
        return {"total": self.mean.total, "steps": self.mean.weight}

    def load_state_dict(self, state: State) -> None:
        self.mean.load(state["total"], state["steps"])
