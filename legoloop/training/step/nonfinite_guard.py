"""Losses and gradients that are not finite: noticed before they reach the weights."""

from __future__ import annotations

import logging
from math import inf, isfinite
from typing import Literal

import torch
from torch import nn

from legoloop.core.arguments import one_of
from legoloop.core.buffer_snapshot import BufferSnapshot
from legoloop.core.errors import DataError
from legoloop.core.protocols import FeedProtocol, Loss, TrainingProgress
from legoloop.loop.plugin import State
from legoloop.loop.step import Step
from legoloop.training.step.async_scalar import AsyncScalar
from legoloop.training.step.nonfinite_report import Fault, are_finite, listed, named_tensors

log = logging.getLogger("legoloop")


class NonFiniteGuard:
    """Stands before the optimizer's step and acts on a loss that is nan or infinite.

    ``action`` says how: ``stop`` raises DataError, ``skip`` leaves the step out, ``warn`` takes it
    all the same; both of these log a warning at the 1st, 10th, 100th … such step. The message
    names the step, if the guard has a ``counter``, the ``idx`` of the samples, and the first module
    whose output is not finite, for which the forward pass is made again. With ``gradients`` the
    gradients are looked at too; on a GPU that waits for every backward pass to end.

    A step that is stopped at or skipped leaves weights, optimizer and buffers as they were.

    Raises ArgumentError for another action.

    >>> model = nn.Linear(1, 1)
    >>> guard, step = NonFiniteGuard("skip"), Step()
    >>> guard.watch(
    ...     model,
    ...     feed=lambda batch: (batch, {"y": model(batch["x"])}),
    ...     loss=lambda batch, outputs: outputs["y"].mean(),
    ... )
    >>> guard.before_forward()
    >>> guard.see_loss(torch.tensor(0.5))
    >>> guard.lets_step(step, losses=torch.tensor(0.5))
    True
    """

    def __init__(
        self,
        action: Literal["stop", "skip", "warn"] = "stop",
        gradients: bool = False,
        counter: TrainingProgress | None = None,
    ) -> None:
        one_of(("stop", "skip", "warn"), action=action)
        self.action = action
        self.gradients = gradients
        self.counter = counter
        self.met = 0
        self._loss = AsyncScalar()

    def watch(self, model: nn.Module, feed: FeedProtocol, loss: Loss) -> None:
        """What to guard; once, before the first step."""
        self.model, self.feed, self.loss = model, feed, loss
        self.buffers = BufferSnapshot.of(model) if self.action != "warn" else []
        self._unbounded = {
            f"model.{name}" for name, value in model.named_buffers() if not are_finite(value)
        }

    def before_forward(self) -> None:
        """Keep the buffers, which the forward pass may change."""
        for buffers in self.buffers:
            buffers.save()

    def see_loss(self, loss: torch.Tensor) -> None:
        """The loss that the step is for, a detached scalar; nothing waits for it here."""
        self._loss.send(loss)

    def lets_step(self, step: Step, losses: torch.Tensor) -> bool:
        """Whether the optimizer may step; the gradients are there.

        The loss is read here, and the step is told its value: on a GPU it is long known, and the
        backward pass still runs.
        """
        step.loss_float = value = self._loss.read()
        if isfinite(value) and (not self.gradients or self._gradients_are_finite()):
            return True
        return self._act(step, losses)

    def refuse_non_finite(self, state: State) -> None:
        """Raises DataError if a tensor of a state of model and optimizer is not finite.

        A buffer that was not finite from the beginning, such as a mask, may be so.
        """
        wrong = [
            name
            for name, value in named_tensors(state)
            if name not in self._unbounded and not are_finite(value)
        ]
        if wrong:
            raise DataError(
                f"{self._after()}these are not finite any more: {listed(wrong)}; gradients=true "
                "of the guard stops at the first gradient that is not"
            )

    def _act(self, step: Step, losses: torch.Tensor) -> bool:
        self.met += 1
        for buffers in self.buffers:
            buffers.restore()
        fault = Fault(self.model, self.feed, self.loss, step, losses)
        hopeless = self.action == "skip" and bool(fault.wrong_weights())
        if self.action == "stop" or hopeless:
            raise DataError(self._message(fault))
        if _is_power_of_ten(self.met):
            done = "skipped" if self.action == "skip" else "taken all the same"
            log.warning("%s; the step is %s (%d so far)", self._message(fault), done, self.met)
        if self.action == "warn":
            return True
        step.size, step.loss, step.loss_float = 0, torch.zeros_like(step.loss), 0.0
        return False

    def _after(self) -> str:
        return f"after step {self.counter.steps}: " if self.counter is not None else ""

    def _message(self, fault: Fault) -> str:
        where = f"step {self.counter.steps + 1}: " if self.counter is not None else ""
        return where + fault.told()

    def _gradients_are_finite(self) -> bool:
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        return are_finite(torch.nn.utils.get_total_norm(gradients, norm_type=inf))


def _is_power_of_ten(number: int) -> bool:
    return str(number).rstrip("0") == "1"
