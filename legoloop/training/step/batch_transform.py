"""Transforming training batches."""

from __future__ import annotations

from collections.abc import Callable

from legoloop.core.protocols import Batch
from legoloop.loop.step import Step


class BatchTransform:
    """Applies a transform to each training batch; evaluations get the batches unchanged.

    Random numbers come from the global generators, whose state is part of a checkpoint, so a
    resumed run draws the same.

    Args:
        transform: ``transform(batch)`` returns a batch with as many samples; both are dicts.

    >>> twice, step = BatchTransform(lambda batch: {"x": 2 * batch["x"]}), Step()
    >>> step.batch = {"x": 3}
    >>> twice.batch_start(step)
    >>> step.batch
    {'x': 6}
    """

    supports_ranks = True
    trained_alone = "draws random numbers in a step, which members do not have of their own"

    def __init__(self, transform: Callable[[Batch], Batch]) -> None:
        self.transform = transform

    def batch_start(self, step: Step) -> None:
        step.batch = self.transform(step.batch)
