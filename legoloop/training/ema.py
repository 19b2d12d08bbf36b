"""Averages of the weights, which often do better than the last ones."""

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


class Trains(Protocol):
    """A descent, or whatever else changes the weights of a model in ``batch``."""

    model: nn.Module
    feed: FeedProtocol


class ExponentialMovingAverage:
    """Averages the weights that a descent steps through, exponentially: the newest count most.

    After each step ``average = decay * average + (1 - decay) * weights``, beginning with the
    weights of the first; so it is about the mean of the last ``1 / (1 - decay)`` steps. Buffers
    that hold finite floating-point numbers, such as the statistics of a batch norm, are averaged
    too, others are those of the model. A step that the guard skipped is none,
    nor is a batch that a ``AlternatingDescent`` left to others.

    It is a feed of its own: ``average(batch)`` moves the batch as the descent's feed does, and
    calls ``model``, a copy that always evaluates. An evaluation that is given it as ``feed``
    evaluates the average. At ``train``, after the last epoch, the descent's model takes the average
    over, so that final evaluation, predictions and saved weights are those of the average.

    Raises ArgumentError for a decay that is not from 0 to below 1, and for a feed that does not
    hold the model, so that a copy of the one would not call the copy of the other.

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

    def __init__(self, descent: Trains, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ArgumentError(f"decay is {decay}; give a number from 0 to below 1")
        self.descent = descent
        self.decay = decay
        copies: dict[int, Any] = {}
        self.feed = deepcopy(descent.feed, copies)
        if id(descent.model) not in copies:
            raise ArgumentError(
                "descent has a feed that does not hold its model, so that a copy of the feed would "
                "not call the average; give an object that keeps it, such as legoloop.Feed"
            )
        self.model: nn.Module = copies[id(descent.model)].eval().requires_grad_(False)
        self._averaged = [name for name, buffer in _saved(self.model) if _has_a_mean(buffer)]
        self._copied = [name for name, buffer in _saved(self.model) if not _has_a_mean(buffer)]
        self._has_begun = False

    def __call__(self, batch: Batch) -> tuple[Batch, Outputs]:
        """The batch on the device, and what the average makes of it."""
        return self.feed(batch)

    @torch.no_grad()
    def batch(self, step: Step) -> None:
        """The weights have changed."""
        if not getattr(self.descent, "has_stepped", step.size):
            return
        average, new = (self._tensors(model) for model in (self.model, self.descent.model))
        if self._has_begun:
            torch._foreach_lerp_(average, new, 1 - self.decay)
        else:
            torch._foreach_copy_(average, new)
        for name in self._copied:
            self.model.get_buffer(name).copy_(self.descent.model.get_buffer(name))
        self._has_begun = True

    def train(self) -> None:
        """The training is over."""
        if self._has_begun:
            self.descent.model.load_state_dict(self.model.state_dict())

    def state_dict(self) -> State:
        """The average, and whether it has begun."""
        return {"model": self.model.state_dict(), "has_begun": self._has_begun}

    def load_state_dict(self, state: State) -> None:
        """Average on from there."""
        self.model.load_state_dict(state["model"])
        self._has_begun = state["has_begun"]

    def _tensors(self, model: nn.Module) -> list[torch.Tensor]:
        """What is averaged."""
        return [*model.parameters(), *map(model.get_buffer, self._averaged)]


def _saved(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """The buffers that are part of the state; others a module makes anew."""
    names = model.state_dict().keys()
    return ((name, buffer) for name, buffer in model.named_buffers() if name in names)


def _has_a_mean(buffer: torch.Tensor) -> bool:
    is_dense = buffer.layout is torch.strided
    return is_dense and buffer.is_floating_point() and are_finite(buffer)
