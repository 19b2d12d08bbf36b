"""What a step of a member carries: its part of what all made together, cut out when it is read."""

from __future__ import annotations

from typing import Any

import torch

from legoloop.core.batch_size import SizedBatch
from legoloop.core.index_batch import IndexBatch
from legoloop.core.nested import map_nested
from legoloop.loop.step import Step


class Cut:
    """The part of one member in what all of them have.

    >>> Cut({"logits": torch.tensor([[1.0], [2.0]])}, member=1).made()
    {'logits': tensor([2.])}
    """

    __slots__ = ("_member", "_whole")

    def __init__(self, whole: Any, member: int) -> None:
        self._whole = whole
        self._member = member

    def made(self) -> Any:
        """The part, without its graph."""
        return map_nested(self._row, self._whole)

    def _row(self, value: Any) -> Any:
        return value[self._member].detach() if isinstance(value, torch.Tensor) else value


class MemberStep(Step):
    """A step whose batch, outputs and loss may be cuts: few plugins read them.

    >>> step = MemberStep()
    >>> step.outputs = Cut({"logits": torch.tensor([[1.0], [2.0]])}, member=0)
    >>> step.outputs
    {'logits': tensor([1.])}
    """

    __slots__ = ("_batch", "_outputs")

    _batch: Any
    _outputs: Any

    @property
    def batch(self) -> Any:
        """The batch."""
        if type(self._batch) is Cut:
            self._batch = SizedBatch(self._batch.made(), self.num_samples)
        elif type(self._batch) is IndexBatch:
            self._batch = self._batch.fetched()
        return self._batch

    @property
    def unread_batch(self) -> Any:
        """The batch, which may be one that is yet to be fetched."""
        return self._batch

    @batch.setter
    def batch(self, batch: Any) -> None:
        self._batch = batch

    @property
    def outputs(self) -> Any:
        """What the model returned for it."""
        if type(self._outputs) is Cut:
            self._outputs = self._outputs.made()
        return self._outputs

    @outputs.setter
    def outputs(self, outputs: Any) -> None:
        self._outputs = outputs

    @property
    def loss(self) -> Any:
        """The loss, a scalar without its graph."""
        if type(self._loss) is Cut:
            self._loss = self._loss.made()
        return self._loss

    @loss.setter
    def loss(self, loss: Any) -> None:
        self._loss = loss
