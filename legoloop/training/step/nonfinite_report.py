"""Where, in a step, the numbers stopped being finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch
from torch import nn

from legoloop.core.batch_size import DefaultBatchDesc
from legoloop.core.buffer_snapshot import BufferSnapshot
from legoloop.core.protocols import FeedProtocol, Loss
from legoloop.core.rng import preserved_rng
from legoloop.loop.step import Step

SHOWN = 8


@dataclass(frozen=True)
class Fault:
    """A step whose loss or gradients are not finite, after its backward pass.

    ``losses`` is what the loss gave: a scalar, or one value per sample, shape (batch,).
    """

    model: nn.Module
    feed: FeedProtocol
    loss: Loss
    step: Step
    losses: torch.Tensor

    def told(self) -> str:
        """What is wrong, with which samples, and where it began."""
        module, output = self._first_module()
        parts = (self._symptom(), self._samples(output), self._inputs(), self._origin(module))
        return "; ".join(part for part in parts if part)

    def wrong_weights(self) -> list[str]:
        """The parameters that were not finite before the step."""
        return [name for name, value in self.model.named_parameters() if not are_finite(value)]

    def _symptom(self) -> str:
        loss = self.step.loss
        if not are_finite(loss):
            return f"the loss is {loss.item()}"
        wrong = [
            name
            for name, weight in self.model.named_parameters()
            if weight.grad is not None and not are_finite(weight.grad)
        ]
        return f"the loss is {loss.item():.6g}, but gradients are not finite: {listed(wrong)}"

    def _samples(self, first_output: Any) -> str:
        """Those that differ from the rest; a batch norm soon makes all of them alike."""
        batch, outputs = self.step.batch, self.step.outputs
        size = DefaultBatchDesc()(batch)  # the step's may count tokens
        suspects = (wrong_rows(v, size) for v in (self.losses, outputs, first_output, batch))
        rows = next((r for r in suspects if 0 < len(r) < size), range(size))
        count = f"(of {size})" if len(rows) < size else f"(all {size})"
        if "idx" not in batch:
            return f"samples {listed(rows)} of the batch, which has no idx {count}"
        idx = batch["idx"]
        named = idx.tolist() if isinstance(idx, torch.Tensor) else idx
        return f"samples idx {listed([named[row] for row in rows])} {count}"

    def _inputs(self) -> str:
        wrong = [
            repr(name) for name, value in named_tensors(self.step.batch) if not are_finite(value)
        ]
        return f"not finite in the batch: {listed(wrong)}" if wrong else ""

    def _origin(self, module: str) -> str:
        if wrong := self.wrong_weights():
            return (
                f"the weights were not finite already: {listed(wrong)}; gradients=true of the "
                "guard stops at the first gradient that is not"
            )
        if module:
            return f"the first module whose output is not finite: {module}"
        if are_finite(self.step.loss):
            return ""
        if not are_finite(self.step.outputs):
            return "made again, the forward pass is finite: it depends on what the model draws"
        return f"the output of every module is finite, so it is the loss, {name_of(self.loss)}"

    def _first_module(self) -> tuple[str, Any]:
        """The first module to end its forward pass with a wrong output, and that output."""
        found: list[tuple[str, Any]] = []

        def look(name: str, module: nn.Module, args: Any, output: Any) -> None:
            if not found and not are_finite(output):
                found.append((f"{name or 'the model'} ({type(module).__name__})", output))

        buffers = BufferSnapshot.of(self.model)
        for kept in buffers:
            kept.save()
        hooks = [
            module.register_forward_hook(partial(look, name))
            for name, module in self.model.named_modules()
        ]
        try:
            with torch.no_grad(), preserved_rng():
                self.feed(self.step.batch)
        finally:
            for hook in hooks:
                hook.remove()
            for kept in buffers:
                kept.restore()
        return found[0] if found else ("", None)


def named_tensors(value: Any, path: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor in nested dicts, lists and tuples, with the keys that lead to it.

    >>> [name for name, _ in named_tensors({"a": {"b": torch.ones(1)}, "c": [torch.ones(1)]})]
    ['a.b', 'c.0']
    """
    if isinstance(value, torch.Tensor):
        yield path, value
        return
    inside: Any = ()
    if isinstance(value, Mapping):
        inside = value.items()
    elif isinstance(value, list | tuple):
        inside = enumerate(value)
    for key, inner in inside:
        yield from named_tensors(inner, f"{path}.{key}" if path else str(key))


def are_finite(value: Any) -> bool:
    """Whether every number in a tensor, or in the tensors of a nested dict, list or tuple, is.

    >>> are_finite({"y": torch.tensor([1.0, float("nan")])})
    False
    """
    return all(bool(_is_finite(tensor).all()) for _, tensor in named_tensors(value))


def wrong_rows(value: Any, size: int) -> list[int]:
    """The samples of which some number is not finite, in tensors of shape (size, …).

    >>> wrong_rows({"y": torch.tensor([[1.0], [float("inf")]]), "scale": torch.ones(())}, 2)
    [1]
    """
    rows: set[int] = set()
    for _, tensor in named_tensors(value):
        if tensor.ndim and len(tensor) == size:
            is_right = _is_finite(tensor.to_dense()).reshape(size, prod(tensor.shape[1:]))
            rows.update((~is_right.all(dim=1)).nonzero()[:, 0].tolist())
    return sorted(rows)


def _is_finite(tensor: torch.Tensor) -> torch.Tensor:
    """Of each number; of a sparse tensor, of those that it holds."""
    tensor = tensor.detach()
    if tensor.layout is torch.sparse_coo:
        tensor = tensor.coalesce()
    if tensor.layout is not torch.strided:
        tensor = tensor.values()
    # torch does not tell of floats of 8 bits
    is_tiny = tensor.is_floating_point() and tensor.itemsize == 1
    return torch.isfinite(tensor.float() if is_tiny else tensor)


def listed(names: Sequence[object]) -> str:
    """The first few of them.

    >>> listed(range(20))
    '0, 1, 2, 3, 4, 5, 6, 7, … (20 in all)'
    """
    shown = ", ".join(map(str, names[:SHOWN]))
    return shown if len(names) <= SHOWN else f"{shown}, … ({len(names)} in all)"


def name_of(function: Callable[..., Any]) -> str:
    """What a function, a partial of one or a callable object goes by.

    >>> name_of(partial(torch.nn.functional.cross_entropy, reduction="none"))
    'cross_entropy'
    """
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)
