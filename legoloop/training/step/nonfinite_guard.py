"""The guard against losses and gradients that are nan or infinite."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf, isfinite
from typing import Literal, Protocol

import torch
from torch import nn

from legoloop.core.arguments import one_of
from legoloop.core.buffer_snapshot import BufferSnapshot
from legoloop.core.errors import DataError
from legoloop.core.protocols import FeedProtocol, Loss, TrainingProgress
from legoloop.core.ranks import current_ranks
from legoloop.loop.step import Step
from legoloop.training.step.async_scalar import AsyncScalar
from legoloop.training.step.nonfinite_report import NonFiniteReport
from legoloop.training.tensors import are_finite

log = logging.getLogger("legoloop")

ObserveLoss = Callable[[torch.Tensor], None]
"""Called with the loss of the step, a scalar tensor, before its backward pass."""


class GuardedDescent(Protocol):
    """What a guard runs a step of."""

    model: nn.Module
    feed: FeedProtocol
    loss: Loss
    buffers: list[BufferSnapshot]

    def compute_gradients(self, step: Step, observe_loss: ObserveLoss) -> torch.Tensor:
        """Forward and backward pass; returns the loss, a scalar or one value per sample."""
        ...

    def optimizer_step(self) -> None:
        """Change the weights."""
        ...


class NonFiniteGuard:
    """Stops, skips or warns when the loss of a step is nan or infinite, before the weights change.

    A step that is stopped or skipped leaves weights, optimizer and buffers as they were. Warnings
    are logged for the 1st, 10th, 100th … such step. The message names the step, if there is a
    ``counter``, the ``idx`` of the samples, and the first module whose output is not finite, for
    which the forward pass is run again.

    Args:
        action: ``stop`` raises DataError, ``skip`` leaves the step out, ``warn`` makes it anyway.
        gradients: whether to check the gradients too; on a GPU this waits for every backward pass.
        counter: the number of steps so far, for messages.

    Raises ArgumentError for another action.

    >>> from legoloop.training.step.descent import GradientDescent
    >>> model, step = nn.Linear(1, 1), Step()
    >>> descent = GradientDescent(
    ...     torch.optim.SGD(model.parameters(), lr=0.1),
    ...     model,
    ...     feed=lambda batch: (batch, {"y": model(batch["x"])}),
    ...     loss=lambda batch, outputs: outputs["y"].mean(),
    ...     guard=NonFiniteGuard("skip"),
    ... )
    >>> step.batch, step.size = {"x": torch.tensor([[float("nan")]])}, 1
    >>> descent.batch(step)
    >>> step.size, descent.guard.num_nonfinite
    (0, 1)
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
        self.num_nonfinite = 0
        self._loss = AsyncScalar()

    @property
    def undoes_steps(self) -> bool:
        """Whether buffers that the forward pass changes may have to be restored."""
        return self.action != "warn"

    def run_step(self, step: Step, descent: GuardedDescent) -> None:
        """Compute the gradients, and step the optimizer if the loss is finite or the action warns.

        Raises DataError if the action is ``stop``, or if the weights themselves are not finite.
        """
        if self.allows(step, descent):
            descent.optimizer_step()

    def allows(self, step: Step, descent: GuardedDescent) -> bool:
        """Compute the gradients; whether the loss is finite, or the action warns.

        Raises as ``run_step`` does.
        """
        if self.undoes_steps:
            for buffers in descent.buffers:
                buffers.save()
        losses = descent.compute_gradients(step, self._loss.start_copy)
        return self._allow_step(step, losses, descent)

    def _allow_step(self, step: Step, losses: torch.Tensor, descent: GuardedDescent) -> bool:
        """The copy of the loss was started before the backward pass, which a GPU still runs."""
        step.loss_float = value = self._loss.get()
        if isfinite(value) and (not self.gradients or _has_finite_gradients(descent.model)):
            return True
        return self._allow_nonfinite(step, losses, descent)

    def _allow_nonfinite(self, step: Step, losses: torch.Tensor, descent: GuardedDescent) -> bool:
        self.num_nonfinite += 1
        if self.undoes_steps:
            for buffers in descent.buffers:
                buffers.restore()
        report = NonFiniteReport(descent.model, descent.feed, descent.loss, step, losses)
        cannot_recover = self.action == "skip" and bool(report.nonfinite_weights())
        if self.action == "stop" or cannot_recover:
            raise DataError(self._message(report, losses))
        if _is_power_of_ten(self.num_nonfinite):
            done = "skipped" if self.action == "skip" else "made anyway"
            message, number = self._message(report, losses), self.num_nonfinite
            log.warning("%s; the step is %s (%d so far)", message, done, number)
        if self.action == "warn":
            return True
        step.size, step.loss, step.loss_float = 0, torch.zeros_like(step.loss), 0.0
        return False

    def _message(self, report: NonFiniteReport, losses: torch.Tensor) -> str:
        """What was found; of several ranks, by the first of those whose share is not finite."""
        where = f"step {self.counter.steps + 1}: " if self.counter is not None else ""
        ranks = current_ranks()
        if ranks.is_alone:
            return where + report.describe()
        found = ranks.gather((not are_finite(losses), report.describe()))
        guilty = next((rank for rank, (is_wrong, _) in enumerate(found) if is_wrong), 0)
        return f"{where}rank {guilty}: {found[guilty][1]}"


def _has_finite_gradients(model: nn.Module) -> bool:
    """In one kernel, as far as they are dense."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    dense = [gradient for gradient in gradients if gradient.layout is torch.strided]
    sparse = [gradient for gradient in gradients if gradient.layout is not torch.strided]
    return are_finite([torch.nn.utils.get_total_norm(dense, norm_type=inf), *sparse])


def _is_power_of_ten(number: int) -> bool:
    return str(number).rstrip("0") == "1"
