"""Batches changed on their way to the training, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

from legoloop.core.protocols import Batch
from legoloop.loop.step import Step


class BatchTransform:
    """Changes each batch that is trained on; evaluations see the data as they are.

    ``transform`` takes a batch, a dict, and returns one with as many samples. What it draws comes
    from the generators of the training, whose state a checkpoint holds, so that a resumed run
    draws the same.

    >>> twice, step = BatchTransform(lambda batch: {"x": 2 * batch["x"]}), Step()
    >>> step.batch = {"x": 3}
    >>> twice.batch_start(step)
    >>> step.batch
    {'x': 6}
    """

    def __init__(self, transform: Callable[[Batch], Batch]) -> None:
        self.transform = transform

    def batch_start(self, step: Step) -> None:
        """A batch is there."""
        step.batch = self.transform(step.batch)
