"""Model and loss compiled into one function by torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, Literal, get_args

import torch

from legoloop.core.errors import ArgumentError
from legoloop.core.nested import named_tensors
from legoloop.core.protocols import Batch, FeedProtocol, Loss, Outputs
from legoloop.training.step.feed import Feed

Mode = Literal["default", "reduce-overhead", "max-autotune"]
MODES = get_args(Mode)
CUDAGRAPH_MODES: tuple[Mode, ...] = ("reduce-overhead", "max-autotune")
"""On a GPU these replay a recorded CUDA graph, which overwrites its previous outputs."""
MAX_STATIC_SHAPES = 4
"""The number of batch shapes that are each compiled statically."""
StepOutput = tuple[Batch, Outputs, torch.Tensor]
"""The batch on the device, the outputs of the model, and the loss."""
Forward = Callable[[FeedProtocol, Loss, Batch], StepOutput]


def forward(feed: FeedProtocol, loss: Loss, batch: Batch) -> StepOutput:
    """Run model and loss on a batch; returns the batch on the device, the outputs and the loss.

    >>> forward(lambda batch: (batch, {"y": 2}), lambda batch, outputs: outputs["y"] + 1, {"x": 1})
    ({'x': 1}, {'y': 2}, 3)
    """
    batch, outputs = feed(batch)
    return batch, outputs, loss(batch, outputs)


def with_own_code(function: Any) -> Any:
    """The same function, for torch.compile with a code object of its own.

    Torch keeps a bounded number of compiled versions with each code object, and runs any others as
    they are: functions that are made by one ``def`` would share that number.

    >>> def made(number): return lambda: number
    >>> made(1).__code__ is made(2).__code__, with_own_code(made(1)).__code__ is made(2).__code__
    (True, False)
    >>> with_own_code(made(1))()
    1
    """
    return FunctionType(
        function.__code__.replace(),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )


def compile_step(feed: FeedProtocol, mode: Literal[True] | str) -> Forward:
    """``forward`` compiled by torch.compile; the first calls are slow.

    The first MAX_STATIC_SHAPES batch shapes are compiled statically, so that the result for a batch
    does not depend on the batches before it; all others share one dynamic compilation. A number or
    text in a batch that model or loss reads is a constant of the compilation: another value
    compiles anew. Results may differ from those of ``forward`` in the last bits.

    Args:
        feed: a ``legoloop.Feed``.
        mode: a mode of torch.compile; True: ``default``. ``reduce-overhead`` and ``max-autotune``
            also use CUDA graphs on a GPU.

    Raises ArgumentError for another mode, another kind of feed, and a CPU for which torch finds no
    C++ compiler.
    """
    if mode is not True and mode not in MODES:
        raise ArgumentError(
            f"is {mode!r}",
            argument="compile",
            remedy=f"give true, false, or one of {', '.join(MODES)}",
        )
    if not isinstance(feed, Feed):
        raise ArgumentError(
            f"is {mode!r}, which takes a legoloop.Feed",
            argument="compile",
            remedy=f"the feed is a {type(feed).__name__}",
        )
    if feed.device.type == "cpu" and not _has_a_cpp_compiler():
        raise ArgumentError(
            f"is {mode!r}, for which torch needs a C++ compiler on a CPU, and finds none: "
            "install g++, or name one in the environment variable CXX",
            argument="compile",
        )

    # Where a model breaks the graph, torch keeps the parts with the code of its class.
    torch.compiler.reset()

    def outputs_and_loss(feed: Feed, loss: Loss, batch: Batch) -> tuple[Outputs, torch.Tensor]:
        outputs = feed.outputs(batch)
        return outputs, loss(batch, outputs)

    def compiled(dynamic: bool) -> Any:
        own = with_own_code(outputs_and_loss)
        return torch.compile(own, mode=None if mode is True else mode, dynamic=dynamic)

    # Left to itself, torch compiles for dynamic shapes once a second shape came: the result for a
    # batch would depend on those before it, and a resumed run or a later job would differ in bits.
    static, dynamic = compiled(dynamic=False), compiled(dynamic=True)
    static_shapes: set[tuple[torch.Size, ...]] = set()

    def compiled_forward(feed: FeedProtocol, loss: Loss, batch: Batch) -> StepOutput:
        assert isinstance(feed, Feed)
        batch = feed.moved(batch)
        shapes = tuple(tensor.shape for _, tensor in named_tensors(batch))
        if len(static_shapes) < MAX_STATIC_SHAPES:
            static_shapes.add(shapes)
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        function = static if shapes in static_shapes else dynamic
        outputs, losses = function(feed, loss, batch)
        return batch, outputs, losses

    return compiled_forward


def _has_a_cpp_compiler() -> bool:
    """As torch looks for one; the compilation is about to import what this does."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return True
