"""Exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Protocol

import torch
from torch import nn

from legoloop.core.errors import ArgumentError
from legoloop.core.protocols import Batch, FeedProtocol, Outputs
from legoloop.loop.plugin import State
from legoloop.loop.step import Step
from legoloop.training.tensors import are_finite


class HasModelAndFeed(Protocol):
    """A descent, or another plugin that changes the weights of a model in ``batch``."""

    model: nn.Module
    feed: FeedProtocol


class ExponentialMovingAverage:
    """Exponential moving average (EMA) of the weights of a descent's model, usable as a feed.

    After each step ``average = decay * average + (1 - decay) * weights``, starting from the weights
    of the first step. Floating-point buffers, such as batch norm statistics, are averaged too;
    others are copied. Skipped steps do not count.

    ``average(batch)`` is a feed with the averaged ``model``, which is always in evaluation mode:
    give it to an evaluation as ``feed``. At ``train``, after the last epoch, the descent's model
    gets the average, so that the final evaluation, predictions and saved weights are those of it.

    Args:
        descent: a GradientDescent or AlternatingDescent.
        decay: from 0 to below 1; it averages about the last ``1 / (1 - decay)`` steps.

    Raises ArgumentError for another decay, and for a feed that does not reference the model.

    >>> from legoloop.training.step.descent import GradientDescent
    >>> from legoloop.training.step.feed import Feed
    >>> class Line(nn.Linear):
    ...     def forward(self, batch): return {"y": super().forward(batch["x"])}
    >>> model = Line(1, 1, bias=False)
    >>> descent = GradientDescent(
    ...     torch.optim.SGD(model.parameters(), lr=0.1), model, Feed(model, "cpu"),
    ...     loss=lambda batch, outputs: (outputs["y"] ** 2).mean(),
    ... )
    >>> average, step = ExponentialMovingAverage(descent, decay=0.5), Step()
    >>> step.size = 1
    >>> for weight in (8.0, 4.0, 0.0):
    ...     _ = model.weight.data.fill_(weight)
    ...     average.batch(step)
    >>> batch, outputs = average({"x": torch.ones(1, 1)})
    >>> outputs["y"]
    tensor([[3.]])
    """

    def __init__(self, descent: HasModelAndFeed, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ArgumentError(
                f"is {decay}", argument="decay", remedy="give a number from 0 to below 1"
            )
        self.descent = descent
        self.decay = decay
        copies: dict[int, Any] = {}
        self.feed = deepcopy(descent.feed, copies)
        if id(descent.model) not in copies:
            raise ArgumentError(
                "has a feed that does not reference its model, so a copy of the feed would not "
                "call the averaged model",
                argument="descent",
                remedy="give an object that does, such as legoloop.Feed",
            )
        self.model: nn.Module = copies[id(descent.model)].eval().requires_grad_(False)
        self._averaged = [
            name for name, buffer in _persistent_buffers(self.model) if _can_be_averaged(buffer)
        ]
        self._copied = [
            name for name, buffer in _persistent_buffers(self.model) if not _can_be_averaged(buffer)
        ]
        self._has_steps = False

    def __call__(self, batch: Batch) -> tuple[Batch, Outputs]:
        """The batch on the device, and the outputs of the averaged model."""
        return self.feed(batch)

    @torch.no_grad()
    def batch(self, step: Step) -> None:
        """Update the average, if a step was made."""
        if not getattr(self.descent, "has_stepped", step.size):
            return
        average, new = (self._tensors(model) for model in (self.model, self.descent.model))
        if self._has_steps:
            torch._foreach_lerp_(average, new, 1 - self.decay)
        else:
            torch._foreach_copy_(average, new)
        for name in self._copied:
            self.model.get_buffer(name).copy_(self.descent.model.get_buffer(name))
        self._has_steps = True

    def train(self) -> None:
        """Load the average into the model of the descent."""
        if self._has_steps:
            self.descent.model.load_state_dict(self.model.state_dict())

    def state_dict(self) -> State:
        """The averaged model, and whether it has any step in it."""
        return {"model": self.model.state_dict(), "has_steps": self._has_steps}

    def load_state_dict(self, state: State) -> None:
        self.model.load_state_dict(state["model"])
        self._has_steps = state["has_steps"]

    def _tensors(self, model: nn.Module) -> list[torch.Tensor]:
        """The tensors that are averaged."""
        return [*model.parameters(), *map(model.get_buffer, self._averaged)]


def _persistent_buffers(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """The persistent buffers."""
    names = model.state_dict().keys()
    return ((name, buffer) for name, buffer in model.named_buffers() if name in names)


def _can_be_averaged(buffer: torch.Tensor) -> bool:
    is_dense = buffer.layout is torch.strided
    return is_dense and buffer.is_floating_point() and are_finite(buffer)
