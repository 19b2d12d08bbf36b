"""One step of gradient descent."""

from __future__ import annotations

import torch
from torch import nn

from legoloop.core.contracts import FeedsModel, Loss
from legoloop.core.plugin import State
from legoloop.core.step import Step


class GradientDescent:
    """Feeds the batch, takes the loss, and lets the optimizer make one step.

    ``loss(batch, outputs)`` gives a scalar or one value per sample, shape (batch,), of which the
    mean is taken. The step is filled with the batch on its device, the outputs and the detached
    loss.

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
        self, opt: torch.optim.Optimizer, model: nn.Module, feed: FeedsModel, loss: Loss
    ) -> None:
        self.opt = opt
        self.model = model
        self.feed = feed
        self.loss = loss

    def train_start(self) -> None:
        """The model learns from here on."""
        self.model.train()

    def batch(self, step: Step) -> None:
        """Forward, backward, step."""
        step.batch, step.outputs = self.feed(step.batch)
        loss = self.loss(step.batch, step.outputs)
        if loss.ndim:
            loss = loss.mean()
        self.opt.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.opt.step()
        step.loss = loss.detach()

    def state_dict(self) -> State:
        """Model and optimizer."""
        return {"model": self.model.state_dict(), "opt": self.opt.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """Put both back."""
        self.model.load_state_dict(state["model"])
        self.opt.load_state_dict(state["opt"])
