"""The forward and backward pass of all members as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, grad_and_value, vmap

from legoloop.core.protocols import Batch, Loss, Outputs
from legoloop.training.step.compile import with_own_code
from legoloop.training.step.feed import Feed

MAX_COMPILED_SHAPES = 6
"""Of the rows and their batches; others are run as they are."""
Stacked = Mapping[str, torch.Tensor]
"""Tensors of all members by name, shape (members, …)."""


@dataclass(frozen=True)
class Made:
    """What one pass made, of all members: each tensor has the shape (members, …).

    Args:
        means: the loss of each member, a scalar.
        losses: what the loss function returned: scalars, or a value for each sample.
        outputs: what the model returned.
        gradients: of the weights, in their order.
    """

    means: torch.Tensor
    losses: torch.Tensor
    outputs: Outputs
    gradients: Sequence[torch.Tensor]


class Program:
    """Model and loss of several members, run as one by ``torch.func.vmap``.

    Args:
        feed (Feed): calls the model, whose structure is that of all members; it is put in training
            mode.
        loss (Loss): the loss of all members.
        compile (bool | str): whether torch.compile compiles the passes, or its mode.

    >>> class Line(nn.Linear):
    ...     def forward(self, batch): return {"y": super().forward(batch["x"])}
    >>> program = Program(
    ...     Feed(Line(1, 1, bias=False), "cpu"), lambda batch, outputs: outputs["y"].mean()
    ... )
    >>> weights = {"weight": torch.tensor([[[2.0]], [[3.0]]])}  # of two members
    >>> program.run(weights, {}, {"x": torch.ones(2, 1, 1)}, {}).means
    tensor([2., 3.])
    """

    def __init__(self, feed: Feed, loss: Loss, compile: bool | str = False) -> None:
        self.feed = feed
        self.loss = loss
        feed.model.train()
        self._model = _FedModel(feed)
        self._checks_labels = getattr(loss, "checks_labels", False)
        if compile:
            mode = None if compile is True else compile
            both = vmap(grad_and_value(self._loss, has_aux=True), randomness="different")
            own = with_own_code(lambda *given: both(*given))
            self._both: Callable[..., Any] | None = torch.compile(own, mode=mode, dynamic=False)
        else:
            self._both = None
        self._forward = vmap(self._loss, randomness="different")
        self._compiled_shapes: set[tuple[torch.Size, ...]] = set()

    def run(self, weights: Stacked, constants: Stacked, batch: Stacked, numbers: Stacked) -> Made:
        """One forward and one backward pass; buffers among the constants change in place.

        Args:
            weights: the trainable parameters of the model.
            constants: its frozen parameters, and its buffers.
            batch: the columns of the batches.
            numbers: attributes of the loss that members have each of their own.
        """
        if self._checks_labels:
            self.loss.check_labels(batch)  # type: ignore[attr-defined]
        if self._both is not None and self._is_compiled_for(weights, batch):
            gradients, (means, (losses, outputs)) = self._both(
                dict(weights), dict(constants), dict(batch), dict(numbers)
            )
            return Made(means, losses, outputs, [gradients[name] for name in weights])
        leaves = {name: each.detach().requires_grad_() for name, each in weights.items()}
        means, (losses, outputs) = self._forward(
            leaves, dict(constants), dict(batch), dict(numbers)
        )
        gradients = torch.autograd.grad(means.sum(), list(leaves.values()))
        return Made(means.detach(), losses.detach(), outputs, gradients)

    def _is_compiled_for(self, weights: Stacked, batch: Stacked) -> bool:
        """The first few shapes are: torch keeps a bounded number of compiled versions."""
        shapes = tuple(each.shape for each in (*weights.values(), *batch.values()))
        if len(self._compiled_shapes) < MAX_COMPILED_SHAPES:
            self._compiled_shapes.add(shapes)
        return shapes in self._compiled_shapes

    def _loss(
        self,
        weights: dict[str, torch.Tensor],
        constants: dict[str, torch.Tensor],
        batch: Batch,
        numbers: dict[str, torch.Tensor],
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, Outputs]]:
        """Of one member."""
        tensors = {f"model.{name}": each for name, each in (weights | constants).items()}
        outputs = functional_call(self._model, tensors, (batch,))
        checked = {"checks_labels": False} if self._checks_labels else {}
        with _attributes(self.loss, {**numbers, **checked}):
            losses = self.loss(batch, outputs)
        return (losses.mean() if losses.ndim else losses), (losses, outputs)


class _FedModel(nn.Module):
    """A feed as a module, so that ``functional_call`` finds its model."""

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self.model = feed.model
        self._feed = feed

    def forward(self, batch: Batch) -> Outputs:
        return dict(self._feed.outputs(batch))


@contextmanager
def _attributes(owner: Any, values: Mapping[str, Any]) -> Iterator[None]:
    """While inside, an object has other attributes."""
    if not values:
        yield
        return
    before = {name: getattr(owner, name) for name in values}
    try:
        for name, value in values.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)
