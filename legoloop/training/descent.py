"""One step of gradient descent."""

from __future__ import annotations

import torch
from torch import nn

from legoloop.core.contracts import FeedsModel, Loss
from legoloop.core.plugin import State
from legoloop.core.step import Step
from legoloop.training.finite import FiniteGuard


class GradientDescent:
    """Feeds the batch, takes the loss, and lets the optimizer make one step.

    ``loss(batch, outputs)`` gives a scalar or one value per sample, shape (batch,), of which the
    mean is taken. The step is filled with the batch on its device, the outputs and the detached
    loss.

    ``guard`` stands before the optimizer's step; None: a FiniteGuard that stops at a loss that is
    nan or infinite. A step that it skips weighs nothing: ``size`` and ``loss`` are 0.

    Raises DataError where the guard does, and instead of handing out a state that is not finite.

    >>> model = nn.Linear(1, 1, bias=False)
    >>> descent = GradientDescent(
    ...     opt=torch.optim.SGD(model.parameters(), lr=0.1),
    ...     model=model,
    ...     feed=lambda batch: (batch, {"y": model(batch["x"])}),
    ...     loss=lambda batch, outputs: (outputs["y"] ** 2).mean(),
    ... )
    >>> step = Step()
    >>> step.batch = {"x": torch.ones(2, 1)}
    >>> descent.batch(step)
    >>> step.loss.shape
    torch.Size([])
    """

    def __init__(
        self,
        opt: torch.optim.Optimizer,
        model: nn.Module,
        feed: FeedsModel,
        loss: Loss,
        guard: FiniteGuard | None = None,
    ) -> None:
        self.opt = opt
        self.model = model
        self.feed = feed
        self.loss = loss
        self.guard = guard or FiniteGuard()
        self.guard.watch(model, feed, loss)

    def train_start(self) -> None:
        """The model learns from here on."""
        self.model.train()

    def batch(self, step: Step) -> None:
        """Forward, backward, step."""
        self.guard.before_forward()
        step.batch, step.outputs = self.feed(step.batch)
        losses = self.loss(step.batch, step.outputs)
        loss = losses.mean() if losses.ndim else losses
        step.loss = loss.detach()
        self.guard.see_loss(step.loss)
        self.opt.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.guard.lets_step(step, losses):
            self.opt.step()

    def train(self) -> None:
        """A last step may have spoilt the weights, and no loss after it would tell."""
        if self.guard.action != "warn":
            self.state_dict()

    def state_dict(self) -> State:
        """Model and optimizer."""
        state = {"model": self.model.state_dict(), "opt": self.opt.state_dict()}
        self.guard.refuse_non_finite(state)
        return state

    def load_state_dict(self, state: State) -> None:
        """Put both back."""
        self.model.load_state_dict(state["model"])
        self.opt.load_state_dict(state["opt"])
