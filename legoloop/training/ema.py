"""Exponential moving average of the weights."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Protocol

import torch
from torch import nn

from legoloop.core.buffer_snapshot import (
    BufferSnapshot,
    is_running_statistic,
    own_expanded_buffers,
    unexpanded,
)
from legoloop.core.errors import ArgumentError
from legoloop.core.protocols import Batch, FeedProtocol, Outputs
from legoloop.core.shards import copy_of_sharded, load_whole, local, sharded_like, whole
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
    of the first step; in float32 if the weights are coarser. Running statistics, which are buffers
    named ``running_…`` such as those of a batch norm, are averaged too; other buffers, and
    parameters that are no floats, are copied. Skipped steps do not count.

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

    supports_ranks = True
    supports_members = True

    def __init__(self, descent: HasModelAndFeed, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ArgumentError(
                f"is {decay}", argument="decay", remedy="give a number from 0 to below 1"
            )
        self.descent = descent
        self.decay = decay
        copies: dict[int, Any] = self._copy_of_shards()
        self.feed = deepcopy(descent.feed, copies)
        if id(descent.model) not in copies:
            raise ArgumentError(
                "has a feed that does not reference its model, so a copy of the feed would not "
                "call the averaged model",
                argument="descent",
                remedy="give an object that does, such as legoloop.Feed",
            )
        self.model: nn.Module = copies[id(descent.model)].eval().requires_grad_(False)
        own_expanded_buffers(self.model)
        named = [*self.model.named_parameters(), *self.model.named_buffers()]
        self._average = {name: _precise(t) for name, t in named if _is_averaged(name, t)}
        self._coarse = [n for n, kept in self._average.items() if kept.dtype != self._of(n).dtype]
        self._copied = [n for n, _ in self.model.named_parameters() if n not in self._average]
        self._has_steps = False

    def _copy_of_shards(self) -> dict[int, Any]:
        """A sharded model cannot be copied: another one is made, and sharded like it."""
        model = self.descent.model
        copy = copy_of_sharded(model)
        if copy is None:
            return {}
        descent: Any = getattr(self.descent, "descent", self.descent)
        descent.parallel.prepare(copy)
        copy.load_state_dict(model.state_dict())
        return {id(model): copy}

    def __call__(self, batch: Batch) -> tuple[Batch, Outputs]:
        """The batch on the device, and the outputs of the averaged model, whose buffers stay."""
        snapshots = BufferSnapshot.of(self.model)
        for buffers in snapshots:
            buffers.save()
        try:
            return self.feed(batch)
        finally:
            for buffers in snapshots:
                buffers.restore()

    @torch.no_grad()
    def batch(self, step: Step) -> None:
        """Update the average, if a step was made."""
        if step.is_left_out or not getattr(self.descent, "has_stepped", step.size):
            return
        new = dict(self.descent.model.named_parameters())
        for name in self._copied:
            self.model.get_parameter(name).copy_(new[name])
        self._copy_buffers()
        average = list(map(local, self._average.values()))
        weights = [
            local(new[name] if name in new else self.descent.model.get_buffer(name)).to(kept.dtype)
            for name, kept in self._average.items()
        ]
        if self._has_steps:
            torch._foreach_lerp_(average, weights, 1 - self.decay)
        else:
            torch._foreach_copy_(average, weights)
        for name in self._coarse:
            self._of(name).copy_(self._average[name])
        self._has_steps = True

    def train(self) -> None:
        """Load the average into the model of the descent."""
        if self._has_steps:
            own_expanded_buffers(self.descent.model)
            self.descent.model.load_state_dict(self.model.state_dict())

    def state_dict(self) -> State:
        """The averaged model, whether it has any step in it, and what it is too coarse to hold."""
        state: State = {"model": whole(self.model.state_dict()), "has_steps": self._has_steps}
        if self._coarse:
            state["precise"] = whole({name: self._average[name] for name in self._coarse})
        return state

    def load_state_dict(self, state: State) -> None:
        load_whole(self.model, state["model"])
        for name in self._coarse:
            kept = self._average[name]
            saved = state.get("precise", {}).get(name, state["model"][name])
            kept.copy_(sharded_like(saved, kept))
        self._has_steps = state["has_steps"]

    def _copy_buffers(self) -> None:
        """Those of the descent's model; a module may replace, fill or drop a buffer."""
        modules = dict(self.descent.model.named_modules())
        for path, average in self.model.named_modules():
            for name, buffer in modules[path]._buffers.items():
                kept = average._buffers.get(name)
                if buffer is None:
                    average._buffers[name] = None
                elif f"{path}.{name}".removeprefix(".") in self._average:
                    continue
                elif kept is None or not _can_hold(kept, buffer):
                    average._buffers[name] = buffer.clone()
                else:
                    kept.copy_(buffer)

    def _of(self, name: str) -> torch.Tensor:
        """The parameter or buffer of the averaged model."""
        path, _, own = name.rpartition(".")
        module = self.model.get_submodule(path)
        tensor: torch.Tensor = getattr(module, own)
        return tensor


def _is_averaged(name: str, tensor: torch.Tensor) -> bool:
    """Parameters and running statistics, as far as a mean of them has a meaning."""
    is_dense_float = (
        tensor.layout is torch.strided
        and (tensor.is_floating_point() or tensor.is_complex())
        and tensor.itemsize > 1
    )
    is_wanted = isinstance(tensor, nn.Parameter) or is_running_statistic(name)
    return is_wanted and is_dense_float and are_finite(tensor)


def _can_hold(kept: torch.Tensor, buffer: torch.Tensor) -> bool:
    is_alike = (kept.shape, kept.dtype, kept.layout) == (buffer.shape, buffer.dtype, buffer.layout)
    return is_alike and unexpanded(kept) is kept


def _precise(tensor: torch.Tensor) -> torch.Tensor:
    """In bfloat16 a step of ``1 - decay`` is lost in rounding."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
