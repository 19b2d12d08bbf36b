"""What a step of a member carries: its part of what all made together, cut out when it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from legoloop.core.batch_size import SizedBatch
from legoloop.core.index_batch import IndexBatch
from legoloop.core.nested import map_nested
from legoloop.loop.step import Step

if TYPE_CHECKING:
    from legoloop.training.members.program import Made

_UNREAD: Any = object()


def cut(whole: Any, member: int) -> Any:
    """The part of one member in what all of them have, without its graph.

    >>> cut({"logits": torch.tensor([[1.0], [2.0]])}, member=1)
    {'logits': tensor([2.])}
    """

    def row(value: Any) -> Any:
        return value[member].detach() if isinstance(value, torch.Tensor) else value

    return map_nested(row, whole)


class MemberStep(Step):
    """A step whose batch, outputs and loss are cut out, or fetched, when somebody reads them.

    Few plugins do.

    >>> step = MemberStep()
    >>> step.batch = {"x": torch.ones(2)}
    >>> step.batch
    {'x': tensor([1., 1.])}
    """

    __slots__ = ("_batch", "_batches", "_made", "_member", "_outputs")

    _batch: Any
    _batches: Any
    _made: Made | None
    _outputs: Any

    def take(self, made: Made, member: int) -> None:
        """Outputs and loss are the part of this member in what was made."""
        self._made, self._member = made, member
        self._outputs = self._loss = _UNREAD

    def take_batch(self, batches: Any, member: int) -> None:
        """The batch is the part of this member in those of all."""
        self._batches, self._member = batches, member
        self._batch = _UNREAD

    def clear(self) -> None:
        """Drop everything that the step carries."""
        self._batch = self._outputs = self._loss = self._batches = self._made = None
        self.loss_float = self.num_samples = self.share = None
        self.size = 0

    @property
    def batch(self) -> Any:
        """The batch."""
        if self._batch is _UNREAD:
            self._batch = SizedBatch(cut(self._batches, self._member), self.num_samples)
        elif type(self._batch) is IndexBatch:
            self._batch = self._batch.fetched()
        return self._batch

    @batch.setter
    def batch(self, batch: Any) -> None:
        self._batch = batch

    @property
    def unread_batch(self) -> Any:
        """The batch, which may be one that is yet to be fetched."""
        return self._batch

    @property
    def outputs(self) -> Any:
        """What the model returned for it."""
        if self._outputs is _UNREAD:
            assert self._made is not None
            self._outputs = cut(self._made.outputs, self._member)
        return self._outputs

    @outputs.setter
    def outputs(self, outputs: Any) -> None:
        self._outputs = outputs

    @property
    def loss(self) -> Any:
        """The loss, a scalar without its graph."""
        if self._loss is _UNREAD:
            assert self._made is not None
            self._loss = cut(self._made.means, self._member)
        return self._loss

    @loss.setter
    def loss(self, loss: Any) -> None:
        self._loss = loss
