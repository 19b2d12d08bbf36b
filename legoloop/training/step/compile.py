"""Model and loss compiled into one."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, Literal, get_args

import torch

from legoloop.core.errors import ArgumentError
from legoloop.core.protocols import Batch, FeedProtocol, Loss, Outputs
from legoloop.training.step.feed import Feed

Mode = Literal["default", "reduce-overhead", "max-autotune"]
MODES = get_args(Mode)
RECORDING: tuple[Mode, ...] = ("reduce-overhead", "max-autotune")
"""On a GPU these play a recorded graph again, which overwrites what it gave before."""
FIXED = 4
"""So many sizes of a batch are compiled each for itself."""
Fed = tuple[Batch, Outputs, torch.Tensor]
FedLoss = Callable[[Batch], Fed]


def compiled(feed: FeedProtocol, loss: Loss, mode: Literal[True] | str) -> FedLoss:
    """A function that feeds a batch and takes the loss, compiled by torch; it begins slowly.

    It gives the batch on the device, the outputs, and what the loss gave. ``mode`` is one of
    torch's: True is its ``default``; ``reduce-overhead`` also records what is launched on a GPU and
    plays it again, for batches of a size met before. The first few sizes are compiled each for
    itself, so that what a batch gives does not depend on those before it; any others together. What
    is not a tensor in a batch stays outside, for neither to see. Numbers may differ from those of
    the plain functions in their last bits.

    Raises ArgumentError for another mode, a feed that is no Feed, and a CPU that torch finds no C++
    compiler for.
    """
    if mode is not True and mode not in MODES:
        raise ArgumentError(f"compile is {mode!r}; give true, false, or one of {', '.join(MODES)}")
    if not isinstance(feed, Feed):
        raise ArgumentError(
            f"compile is {mode!r}, which takes a legoloop.Feed; the feed is a {type(feed).__name__}"
        )
    if feed.device.type == "cpu" and not _has_a_cpp_compiler():
        raise ArgumentError(
            f"compile is {mode!r}, for which torch needs a C++ compiler on a CPU, and finds none: "
            "install g++, or name one in the environment variable CXX"
        )

    # Where a model breaks the graph, torch keeps the parts with the code of its class.
    torch.compiler.reset()

    def whole(batch: Batch) -> tuple[Outputs, torch.Tensor]:
        outputs = feed.outputs(batch)
        return outputs, loss(batch, outputs)

    def fast(dynamic: bool) -> Any:
        # What torch compiled, a bounded number of versions, it keeps with the code: each has one.
        code = whole.__code__.replace()
        own = FunctionType(code, whole.__globals__, closure=whole.__closure__)
        return torch.compile(own, mode=None if mode is True else mode, dynamic=dynamic)

    # Left to itself, torch compiles for any size once a second one came: what a batch gives would
    # depend on those before it, and a resumed run or a later job of a sweep have other bits.
    fixed, any_size = fast(dynamic=False), fast(dynamic=True)
    met: set[tuple[torch.Size, ...]] = set()

    def fed(batch: Batch) -> Fed:
        batch = feed.moved(batch)
        tensors = {k: v for k, v in batch.items() if isinstance(v, torch.Tensor)}
        sizes = tuple(tensor.shape for tensor in tensors.values())
        if len(met) < FIXED:
            met.add(sizes)
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        outputs, losses = (fixed if sizes in met else any_size)(tensors)
        return batch, outputs, losses

    return fed


def _has_a_cpp_compiler() -> bool:
    """As torch looks for one; the compilation is about to import what this does."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return True
