"""A table of the model's layers, their output shapes and parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from legoloop.core.arguments import at_least
from legoloop.core.atomic_files import atomic_write
from legoloop.core.eval_mode import evaluation_mode
from legoloop.core.lazy_modules import reject_lazy_modules
from legoloop.core.protocols import Batch, FeedProtocol, RewindableStream
from legoloop.core.text_table import text_table
from legoloop.loop.plugin import State


class ModelSummary:
    """Before the training, prints the layers of the model, their output shapes and parameters.

    Has no side effects: the model, its buffers and train flags, the random generators and the
    position of the stream stay as they are.

    Args:
        model: the model to summarize.
        feed: ``feed(batch) -> (batch on the device, outputs)``, calls the model.
        stream: its first samples are fed to learn the output shapes; None: no shapes.
        path: a text file to write the table to; None: no file.
        print: also print the table.
        samples: the number of samples that are fed.

    Raises:
        ArgumentError: if ``samples`` is less than 1, or the model has lazy modules.

    >>> from itertools import repeat
    >>> model = nn.Linear(3, 1)
    >>> class Stream:
    ...     def peek(self, samples): return repeat({"x": torch.rand(samples, 3)})
    >>> feed = lambda batch: (batch, {"y": model(batch["x"])})
    >>> ModelSummary(model, feed, Stream()).train_start()
    layer   output shape  params  trainable
    Linear  (1, 1)             4          4
    <BLANKLINE>
    total params: 4 (16 B), trainable: 4, buffers: 0 B
    """

    only_looks = True

    def __init__(
        self,
        model: nn.Module,
        feed: FeedProtocol,
        stream: RewindableStream | None = None,
        path: str | Path | None = None,
        print: bool = True,
        samples: int = 1,
    ) -> None:
        at_least(1, samples=samples)
        self.model = model
        self.feed = feed
        self.stream = stream
        self.path = None if path is None else Path(path)
        self.print = print
        self.samples = samples
        self.summary: str | None = None

    def train_start(self) -> None:
        if self.summary is None:
            self.summary = model_summary(self.model, self.feed, self._batch())
            if self.print:
                print(self.summary, flush=True)
        if self.path is not None:
            with atomic_write(self.path) as temporary:
                temporary.write_text(self.summary + "\n")

    def state_dict(self) -> State:
        return {"summary": self.summary}

    def load_state_dict(self, state: State) -> None:
        self.summary = state["summary"]  # not made again: other parameters may be trainable by now

    def _batch(self) -> Batch | None:
        if self.stream is None:
            return None
        batches = iter(self.stream.peek(self.samples))
        batch = next(batches)
        if hasattr(batches, "close"):
            batches.close()
        return batch


def model_summary(model: nn.Module, feed: FeedProtocol, batch: Batch | None = None) -> str:
    """A table of the layers of a model: output shape, number of parameters, how many are trainable.

    Has no side effects. A layer that is called several times shows its last shape; parameters that
    several layers share are counted once.

    Args:
        model: the model to summarize.
        feed: ``feed(batch) -> (batch on the device, outputs)``, calls the model.
        batch: what to feed; None: the table has no shapes. Layers that are not called have none.

    Raises:
        ArgumentError: if the model has lazy modules, whose parameters do not exist yet.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    >>> feed = lambda batch: (batch, {"logits": model(batch["image"])})
    >>> print(model_summary(model, feed, {"image": torch.rand(1, 2, 2)}))
    layer         output shape  params  trainable
    Sequential    (1, 2)             8          8
      0: Flatten  (1, 4)             0          0
      1: Linear   (1, 2)             8          8
    <BLANKLINE>
    total params: 8 (32 B), trainable: 8, buffers: 0 B
    """
    reject_lazy_modules(model)
    layers = {module: _Layer(path, module) for path, module in model.named_modules()}
    if batch is not None:
        with evaluation_mode(model), _recording_shapes(layers):
            feed(batch)
    header = ("layer", "output shape", "params", "trainable")
    table = text_table([header, *(layer.row() for layer in layers.values())], right=(2, 3))
    return f"{table}\n\n{_total(model)}"


@dataclass
class _Layer:
    path: str
    module: nn.Module
    shapes: str = ""
    depth: int = field(init=False)

    def __post_init__(self) -> None:
        self.depth = len(self.path.split(".")) if self.path else 0

    def row(self) -> tuple[str, str, str, str]:
        parameters = list(self.module.parameters())
        name = f"{self.path.split('.')[-1]}: " if self.path else ""
        return (
            "  " * self.depth + name + type(self.module).__name__,
            self.shapes,
            f"{_count(parameters):,}",
            f"{_count(_trainable(parameters)):,}",
        )


@contextmanager
def _recording_shapes(layers: Mapping[nn.Module, _Layer]) -> Iterator[None]:
    def record(module: nn.Module, _: Any, outputs: Any) -> None:
        layers[module].shapes = _shapes(outputs)

    with ExitStack() as hooks:
        for module in layers:
            hooks.callback(module.register_forward_hook(record).remove)
        yield


def _shapes(outputs: Any) -> str:
    """The shape of a tensor; for a dict or a list, those of its items."""
    if isinstance(outputs, torch.Tensor):
        return str(tuple(outputs.shape))
    if isinstance(outputs, Mapping):
        named = {key: _shapes(value) for key, value in outputs.items()}
        return ", ".join(f"{key} {shape}" for key, shape in named.items() if shape)
    if isinstance(outputs, list | tuple):
        return ", ".join(filter(None, map(_shapes, outputs)))
    return ""


def _total(model: nn.Module) -> str:
    parameters = list(model.parameters())
    return (
        f"total params: {_count(parameters):,} ({_size(parameters)}), "
        f"trainable: {_count(_trainable(parameters)):,}, buffers: {_size(model.buffers())}"
    )


def _trainable(parameters: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    return (parameter for parameter in parameters if parameter.requires_grad)


def _count(parameters: Iterable[torch.Tensor]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _size(tensors: Iterable[torch.Tensor]) -> str:
    size = float(sum(tensor.numel() * tensor.element_size() for tensor in tensors))
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
