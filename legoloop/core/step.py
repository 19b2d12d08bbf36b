"""What one optimisation step carries through the batch stages."""

from __future__ import annotations

from typing import Any


class Step:
    """The batch, what the model made of it, its loss, and how many samples it holds.

    ``batch`` and ``outputs`` are dicts, ``loss`` a detached scalar tensor, ``size`` a number of
    samples. ``loss_value`` is the loss as a number, from whoever knows it without waiting for the
    device; None: nobody does. The host empties the step after ``batch_end``: what a plugin needs
    for longer, it keeps itself.

    >>> step = Step()
    >>> step.batch, step.size = {"image": [1, 2]}, 2
    >>> step.empty()
    >>> step.batch is None
    True
    """

    __slots__ = ("batch", "loss", "loss_value", "outputs", "size")

    batch: Any
    outputs: Any
    loss: Any
    loss_value: float | None
    size: int

    def __init__(self) -> None:
        self.empty()

    def empty(self) -> None:
        """Let go of everything."""
        self.batch = self.outputs = self.loss = self.loss_value = None
        self.size = 0
