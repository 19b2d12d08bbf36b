"""What one optimisation step carries through the batch stages."""

from __future__ import annotations

from typing import Any


class Step:
    """The batch, what the model made of it, its loss, and how many samples it holds.

    ``batch`` and ``outputs`` are dicts, ``loss`` a scalar tensor, handed out detached, ``size`` a
    number of samples. ``loss_value`` is the loss as a number, from whoever knows it without waiting
    for the device; None: nobody does. The host empties the step after ``batch_end``: what a plugin
    needs for longer, it keeps itself.

    >>> step = Step()
    >>> step.batch, step.size = {"image": [1, 2]}, 2
    >>> step.empty()
    >>> step.batch is None
    True
    """

    __slots__ = ("_loss", "batch", "loss_value", "outputs", "size")

    batch: Any
    outputs: Any
    loss_value: float | None
    size: int

    def __init__(self) -> None:
        self.empty()

    @property
    def loss(self) -> Any:
        """The loss without its graph; few ask for it, so it is detached only then."""
        loss = self._loss
        return loss.detach() if getattr(loss, "requires_grad", False) else loss

    @loss.setter
    def loss(self, loss: Any) -> None:
        self._loss = loss

    def empty(self) -> None:
        """Let go of everything."""
        self.batch = self.outputs = self._loss = self.loss_value = None
        self.size = 0
