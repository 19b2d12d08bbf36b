"""Descents that alternate, such as generator and discriminator of a GAN."""

from __future__ import annotations

from collections.abc import Callable

from legoloop.core.arguments import at_least
from legoloop.core.errors import ArgumentError
from legoloop.core.protocols import Scalars
from legoloop.loop.plugin import State
from legoloop.loop.step import Step
from legoloop.training.running_mean import RunningMean
from legoloop.training.step.descent import GradientDescent, Phase


class AlternatingDescent:
    """Runs a descent on every n-th batch, with its own counters, such as the generator of a GAN.

    Several of them get the same batches, in the order of the plugins; the step holds the outputs
    and the loss of the last one that ran.

    ``steps``, ``samples`` and ``epochs`` count what this descent did, so that it can be the
    ``counter`` of its own LRScheduler; the ``Counter`` counts batches. It is a source of its mean
    loss, and can be given wherever a plugin takes a descent.

    Args:
        descent: the descent that makes the steps.
        tag: the name of its mean loss, such as ``loss/generator``.
        every: it runs on one of so many batches.
        offset: on which of them, from 0.

    Raises ArgumentError for values out of range.

    >>> import torch
    >>> model, step = torch.nn.Linear(1, 1), Step()
    >>> turn = AlternatingDescent(
    ...     GradientDescent(
    ...         torch.optim.SGD(model.parameters(), lr=0.1), model,
    ...         feed=lambda batch: (batch, {"y": model(batch["x"])}),
    ...         loss=lambda batch, outputs: (outputs["y"] ** 2).mean(),
    ...     ),
    ...     tag="loss/generator", every=5,
    ... )
    >>> for _ in range(10):
    ...     step.batch, step.size = {"x": torch.ones(2, 1)}, 2
    ...     turn.batch(step)
    >>> turn.steps, turn.samples, list(turn.scalars())
    (2, 4, ['loss/generator'])
    """

    supports_ranks = True
    trained_alone = "steps several optimizers in turn"

    def __init__(self, descent: GradientDescent, tag: str, every: int = 1, offset: int = 0) -> None:
        at_least(1, every=every)
        at_least(0, offset=offset)
        if offset >= every:
            raise ArgumentError(
                f"is {offset}", argument="offset", remedy=f"give less than every, which is {every}"
            )
        self.descent = descent
        self.model = descent.model
        self.feed = descent.feed
        self.every = every
        self.offset = offset
        self.epochs = self.steps = self.samples = self.left_out = 0
        self.mean = RunningMean(tag)
        self.has_stepped = False  # with the batch at hand
        self._batches = 0

    @property
    def on_phase(self) -> Callable[[Phase], object] | None:
        """What the descent calls at the end of each phase, for timing."""
        return self.descent.on_phase

    @on_phase.setter
    def on_phase(self, on_phase: Callable[[Phase], object] | None) -> None:
        self.descent.on_phase = on_phase

    def train_start(self) -> None:
        self.descent.train_start()

    def epoch_start(self) -> None:
        self.mean.reset()

    def batch(self, step: Step) -> None:
        """Make the step of the descent, if it is its turn."""
        is_its_turn = self._batches % self.every == self.offset
        self._batches += 1
        self.has_stepped = False
        if not is_its_turn:
            return
        own = Step()
        own.batch, own.size, own.num_samples = step.batch, step.size, step.num_samples
        own.share = step.share
        self.descent.batch(own)
        step.outputs, step.loss, step.loss_float = own.outputs, own.loss, own.loss_float
        self.steps += 1
        self.samples += own.size
        self.left_out += own.is_left_out
        self.has_stepped = own.size > 0 and not own.is_left_out
        self.mean.add_loss(own)

    def epoch_end(self) -> None:
        self.epochs += 1

    def train(self) -> None:
        self.descent.train()

    def scalars(self) -> Scalars:
        """The mean loss of the epoch so far; empty before the first turn."""
        return self.mean.scalars()

    def state_dict(self) -> State:
        """The state of the descent, and the counts."""
        return {
            "descent": self.descent.state_dict(),
            "batches": self._batches,
            "counts": [self.epochs, self.steps, self.samples, self.left_out],
            "mean": [self.mean.total, self.mean.weight],
        }

    def load_state_dict(self, state: State) -> None:
        self.descent.load_state_dict(state["descent"])
        self._batches = state["batches"]
        self.epochs, self.steps, self.samples, *left_out = state["counts"]
        self.left_out = left_out[0] if left_out else 0  # older states do not have it
        self.mean.load(*state["mean"])
