"""The report on a step that is not finite: which samples, which module, which weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from legoloop.core.batch_size import DefaultBatchDesc
from legoloop.core.buffer_snapshot import BufferSnapshot
from legoloop.core.nested import named_tensors
from legoloop.core.protocols import FeedProtocol, Loss
from legoloop.core.rng import preserved_rng
from legoloop.core.text import shorten
from legoloop.loop.step import Step
from legoloop.training.tensors import are_finite, nonfinite_rows


@dataclass(frozen=True)
class NonFiniteReport:
    """A step whose loss or gradients are not finite, after its backward pass.

    Args:
        losses: what the loss returned: a scalar, or one value per sample, shape (batch,).
    """

    model: nn.Module
    feed: FeedProtocol
    loss: Loss
    step: Step
    losses: torch.Tensor

    def describe(self) -> str:
        """The symptom, the samples, the inputs and the origin, in one sentence."""
        module, output = self._first_module()
        findings = (self._symptom(), self._samples(output), self._inputs(), self._origin(module))
        return "; ".join(finding for finding in findings if finding)

    def nonfinite_weights(self) -> list[str]:
        """The names of the parameters that were not finite before the step.

        One that is frozen, such as a mask, is so by the module's own doing.
        """
        return [
            name
            for name, value in self.model.named_parameters()
            if value.requires_grad and not are_finite(value)
        ]

    def _symptom(self) -> str:
        loss = self.step.loss
        if not are_finite(loss):
            return f"the loss is {loss.item()}"
        names = [
            name
            for name, weight in self.model.named_parameters()
            if weight.grad is not None and not are_finite(weight.grad)
        ]
        return f"the loss is {loss.item():.6g}, but gradients are not finite: {shorten(names)}"

    def _samples(self, first_output: Any) -> str:
        """Those that differ from the rest, if any; a batch norm spreads a nan to all of them."""
        batch, outputs = self.step.batch, self.step.outputs
        size = self.step.num_samples or DefaultBatchDesc()(batch)  # step.size may count tokens
        candidates = (nonfinite_rows(v, size) for v in (self.losses, outputs, first_output, batch))
        rows = next((r for r in candidates if 0 < len(r) < size), range(size))
        count = f"(of {size})" if len(rows) < size else f"(all {size})"
        if "idx" not in batch:
            return f"samples {shorten(rows)} of the batch, which has no idx {count}"
        idx = batch["idx"]
        ids = idx.tolist() if isinstance(idx, torch.Tensor) else idx
        return f"samples idx {shorten([ids[row] for row in rows])} {count}"

    def _inputs(self) -> str:
        names = [
            repr(name) for name, value in named_tensors(self.step.batch) if not are_finite(value)
        ]
        return f"not finite in the batch: {shorten(names)}" if names else ""

    def _origin(self, module: str) -> str:
        if names := self.nonfinite_weights():
            return (
                f"the weights were not finite already: {shorten(names)}; gradients=true of the "
                "guard stops at the first gradient that is not"
            )
        if module:
            return f"the first module whose output is not finite: {module}"
        if are_finite(self.step.loss):
            return ""
        if not are_finite(self.step.outputs):
            return (
                "run again, the forward pass is finite: "
                "it depends on random numbers that the model draws"
            )
        return f"the output of every module is finite, so it is the loss, {name_of(self.loss)}"

    def _first_module(self) -> tuple[str, Any]:
        """The first module whose output is not finite, and that output."""
        found: list[tuple[str, Any]] = []

        def record(name: str, module: nn.Module, args: Any, output: Any) -> None:
            if not found and not are_finite(output):
                found.append((f"{name or 'the model'} ({type(module).__name__})", output))

        snapshots = BufferSnapshot.of(self.model)
        for buffers in snapshots:
            buffers.save()
        hooks = [
            module.register_forward_hook(partial(record, name))
            for name, module in self.model.named_modules()
        ]
        try:
            with torch.no_grad(), preserved_rng():
                self.feed(self.step.batch)
        finally:
            for hook in hooks:
                hook.remove()
            for buffers in snapshots:
                buffers.restore()
        return found[0] if found else ("", None)


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function, of the function in a partial, or of the class of an object.

    >>> name_of(partial(torch.nn.functional.cross_entropy, reduction="none"))
    'cross_entropy'
    """
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)
