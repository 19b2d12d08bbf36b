"""Model and loss compiled into one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch

from legoloop.core.contracts import Batch, FeedsModel, Loss, Outputs
from legoloop.core.errors import ArgumentError
from legoloop.training.feed import Feed

Mode = Literal["default", "reduce-overhead", "max-autotune"]
MODES = get_args(Mode)
RECORDING: tuple[Mode, ...] = ("reduce-overhead", "max-autotune")
"""On a GPU these play a recorded graph again, which overwrites what it gave before."""
Fed = tuple[Batch, Outputs, torch.Tensor]
FedLoss = Callable[[Batch], Fed]


def compiled(feed: FeedsModel, loss: Loss, mode: Literal[True] | str) -> FedLoss:
    """A function that feeds a batch and takes the loss, compiled by torch; it begins slowly.

    It gives the batch on the device, the outputs, and what the loss gave. ``mode`` is one of
    torch's: True is its ``default``; ``reduce-overhead`` also records what is launched on a GPU and
    plays it again, for batches of a size met before. Sizes may differ. What is not a tensor in a
    batch stays outside, for neither to see. Numbers may differ from those of the plain functions in
    their last bits.

    Raises ArgumentError for another mode, and a feed that is no Feed.
    """
    if mode is not True and mode not in MODES:
        raise ArgumentError(f"compile is {mode!r}; give true, false, or one of {', '.join(MODES)}")
    if not isinstance(feed, Feed):
        raise ArgumentError(
            f"compile is {mode!r}, which takes a legoloop.Feed; the feed is a {type(feed).__name__}"
        )

    def whole(batch: Batch) -> tuple[Outputs, torch.Tensor]:
        outputs = feed.outputs(batch)
        return outputs, loss(batch, outputs)

    # What torch compiled, a bounded number of versions, it keeps with the code: here is a new one.
    whole.__code__ = whole.__code__.replace()
    fast: Any = torch.compile(whole, mode=None if mode is True else mode)

    def fed(batch: Batch) -> Fed:
        batch = feed.moved(batch)
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        outputs, losses = fast({k: v for k, v in batch.items() if isinstance(v, torch.Tensor)})
        return batch, outputs, losses

    return fed
