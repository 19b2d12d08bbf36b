"""What a model is made of, told before it is trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from legoloop.loop.plugin import State


class ModelSummary:
    """Before the training, tells the layers of the model, what they give out, and their weights.

    Written to ``path``, None: to no file; printed if ``show``. The first ``samples`` of ``stream``
    are fed to learn the shapes, None: no shapes. The model, its buffers and flags, the generators
    and the stream's position stay as they are.

    Raises ArgumentError if ``samples`` is less than 1.

    >>> from itertools import repeat
    >>> model = nn.Linear(3, 1)
    >>> class Stream:
    ...     def peek(self, samples): return repeat({"x": torch.rand(samples, 3)})
    >>> feed = lambda batch: (batch, {"y": model(batch["x"])})
    >>> ModelSummary(model, feed, Stream()).train_start()
    layer   gives   weights  that learn
    Linear  (1, 1)        4           4
    <BLANKLINE>
    4 weights, of which 4 learn; 16 B, and 0 B of buffers
    """

    def __init__(
        self,
        model: nn.Module,
        feed: FeedProtocol,
        stream: RewindableStream | None = None,
        path: str | Path | None = None,
        show: bool = True,
        samples: int = 1,
    ) -> None:
        at_least(1, samples=samples)
        self.model = model
        self.feed = feed
        self.stream = stream
        self.path = None if path is None else Path(path)
        self.show = show
        self.samples = samples
        self.summary: str | None = None

    def train_start(self) -> None:
        """Look, and tell; a resumed run puts the file in the state of its beginning."""
        if self.summary is None:
            self.summary = model_summary(self.model, self.feed, self._batch())
            if self.show:
                print(self.summary, flush=True)
        if self.path is not None:
            with atomic_write(self.path) as draft:
                draft.write_text(self.summary + "\n")

    def state_dict(self) -> State:
        """What was told before the training."""
        return {"summary": self.summary}

    def load_state_dict(self, state: State) -> None:
        """It has been told; by now other weights may learn."""
        self.summary = state["summary"]

    def _batch(self) -> Batch | None:
        if self.stream is None:
            return None
        batches = iter(self.stream.peek(self.samples))
        batch = next(batches)
        if hasattr(batches, "close"):
            batches.close()
        return batch


def model_summary(model: nn.Module, feed: FeedProtocol, batch: Batch | None = None) -> str:
    """A table of the layers of a model: what each gives out and how many weights it has.

    ``feed(batch)`` calls the model, to learn the shapes; None: there are none, nor are there for
    layers that it does not call. A layer that is called several times tells of the last; weights
    that several layers share are counted once. Nothing is changed by it.

    Raises ArgumentError for a model whose weights are made when it is first called (lazy modules).

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    >>> feed = lambda batch: (batch, {"logits": model(batch["image"])})
    >>> print(model_summary(model, feed, {"image": torch.rand(1, 2, 2)}))
    layer         gives   weights  that learn
    Sequential    (1, 2)        8           8
      0: Flatten  (1, 4)        0           0
      1: Linear   (1, 2)        8           8
    <BLANKLINE>
    8 weights, of which 8 learn; 32 B, and 0 B of buffers
    """
    reject_lazy_modules(model)
    layers = {module: _Layer(path, module) for path, module in model.named_modules()}
    if batch is not None:
        with evaluation_mode(model), _shapes_into(layers):
            feed(batch)
    table = [("layer", "gives", "weights", "that learn"), *(each.row() for each in layers.values())]
    return "\n".join([*_aligned(table), "", _total(model)])


@dataclass
class _Layer:
    path: str
    module: nn.Module
    shapes: str = ""
    depth: int = field(init=False)

    def __post_init__(self) -> None:
        self.depth = len(self.path.split(".")) if self.path else 0

    def row(self) -> tuple[str, str, str, str]:
        weights = list(self.module.parameters())
        name = f"{self.path.split('.')[-1]}: " if self.path else ""
        return (
            "  " * self.depth + name + type(self.module).__name__,
            self.shapes,
            f"{_count(weights):,}",
            f"{_count(weight for weight in weights if weight.requires_grad):,}",
        )


@contextmanager
def _shapes_into(layers: Mapping[nn.Module, _Layer]) -> Iterator[None]:
    def note(module: nn.Module, _: Any, outputs: Any) -> None:
        layers[module].shapes = _shapes(outputs)

    with ExitStack() as hooks:
        for module in layers:
            hooks.callback(module.register_forward_hook(note).remove)
        yield


def _shapes(outputs: Any) -> str:
    """The shape of a tensor; of a dict or a list, those of what it holds."""
    if isinstance(outputs, torch.Tensor):
        return str(tuple(outputs.shape))
    if isinstance(outputs, Mapping):
        named = {key: _shapes(value) for key, value in outputs.items()}
        return ", ".join(f"{key} {shape}" for key, shape in named.items() if shape)
    if isinstance(outputs, list | tuple):
        return ", ".join(filter(None, map(_shapes, outputs)))
    return ""


def _aligned(table: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for layer, gives, weights, learning in table:
        yield (
            f"{layer:<{widths[0]}}  {gives:<{widths[1]}}  "
            f"{weights:>{widths[2]}}  {learning:>{widths[3]}}"
        )


def _total(model: nn.Module) -> str:
    weights = list(model.parameters())
    learning = _count(weight for weight in weights if weight.requires_grad)
    return (
        f"{_count(weights):,} weights, of which {learning:,} learn; "
        f"{_size(weights)}, and {_size(model.buffers())} of buffers"
    )


def _count(weights: Iterable[torch.Tensor]) -> int:
    return sum(weight.numel() for weight in weights)


def _size(tensors: Iterable[torch.Tensor]) -> str:
    size = float(sum(tensor.numel() * tensor.element_size() for tensor in tensors))
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
