"""One step of gradient descent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from legoloop.core.arguments import at_least
from legoloop.core.batch_size import DefaultBatchDesc
from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.lazy_modules import reject_lazy_modules
from legoloop.core.protocols import Batch, BatchSizer, FeedProtocol, Loss, Outputs
from legoloop.loop.plugin import State
from legoloop.loop.step import Step
from legoloop.training.step.compile import RECORDING, compiled
from legoloop.training.step.micro_batches import detached, joined, shares, split
from legoloop.training.step.nonfinite_guard import NonFiniteGuard
from legoloop.training.step.optimizer_step import fast_step
from legoloop.training.step.torch_shortcuts import fast_backward, fast_zero_grad


class GradientDescent:
    """Feeds the batch, takes the loss, and lets the optimizer make one step.

    ``loss(batch, outputs)`` gives a scalar or one value per sample, shape (batch,), of which the
    mean is taken. The step is filled with the batch on its device, the outputs and the detached
    loss.

    ``guard`` stands before the optimizer's step; None: a NonFiniteGuard that stops at a loss
    that is nan or infinite. A step that it skips weighs nothing: ``size`` and ``loss`` are 0.

    ``clip`` is called with the optimizer's parameters once the guard lets the step be made, such as
    a GradientClipping.

    ``micro_batch_size`` accumulates gradients: the batch goes through the model in parts of at most
    so many samples, and the step is the one that the whole batch would have made. A loss that is a
    scalar counts for what ``batch_desc`` says its part holds, None: samples; so if it is a mean
    over tokens, give one that counts those.

    ``compile`` lets torch compile model and loss into one: true, or a mode of its ``compile``, such
    as ``reduce-overhead``. ``scaler`` scales the loss, so that gradients of fp16 do not vanish; a
    step with gradients that overflow is left out, and the next ones are scaled by less.

    Raises DataError where the guard does, for a loss that is no tensor, and instead of handing out
    a state that is not finite; ArgumentError for a micro-batch size less than 1, a compilation that
    does not exist, one that overwrites the gradients of the parts before, a scaler beside a guard
    of gradients, LBFGS, which takes the loss several times a step, and a model whose weights are
    made when it is first called.

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
        feed: FeedProtocol,
        loss: Loss,
        guard: NonFiniteGuard | None = None,
        clip: Callable[[list[torch.Tensor]], object] | None = None,
        micro_batch_size: int | None = None,
        batch_desc: BatchSizer | None = None,
        compile: bool | str = False,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        if micro_batch_size is not None:
            at_least(1, micro_batch_size=micro_batch_size)
            if compile in RECORDING:
                raise ArgumentError(
                    f"compile is {compile!r}, which plays gradients into the same memory again, "
                    "and micro_batch_size adds them up; give compile=true"
                )
        if isinstance(opt, torch.optim.LBFGS):
            raise ArgumentError(
                "opt is an LBFGS, whose step takes the loss several times; here a step takes it "
                "once: give an optimizer of another kind"
            )
        reject_lazy_modules(model)
        self.opt = opt
        self.model = model
        self.feed = feed
        self.loss = loss
        self.guard = guard or NonFiniteGuard()
        self.clip = clip
        self.micro_batch_size = micro_batch_size
        self.batch_desc = batch_desc or DefaultBatchDesc()
        if scaler is not None and self.guard.gradients:
            raise ArgumentError(
                "scaler looks at the gradients itself: leave gradients of the guard false"
            )
        self.scaler = scaler
        self._compiled = compiled(feed, loss, compile) if compile else None
        self.guard.watch(model, feed, loss)

    def train_start(self) -> None:
        """The model learns from here on."""
        self.model.train()

    def batch(self, step: Step) -> None:
        """Forward, backward, step."""
        self.guard.before_forward()
        accumulates = self.micro_batch_size is not None
        losses = self._backward_in_parts(step) if accumulates else self._backward(step)
        if self.guard.lets_step(step, losses):
            self._step()

    def _backward(self, step: Step) -> torch.Tensor:
        """The gradients of the batch; returns what the loss gave."""
        step.batch, step.outputs, losses = self._fed(step.batch)
        step.loss = loss = losses.mean() if losses.ndim else losses
        self.guard.see_loss(loss)
        fast_zero_grad(self.opt)
        fast_backward(self._scaled(loss))
        return losses

    def _backward_in_parts(self, step: Step) -> torch.Tensor:
        """The same gradients, summed up over parts that are fed one after the other."""
        assert self.micro_batch_size is not None
        parts = split(step.batch, self.micro_batch_size)
        samples = DefaultBatchDesc()
        of_samples, of_scalar = shares(parts, samples), shares(parts, self.batch_desc)
        made = []
        fast_zero_grad(self.opt)
        step.loss = 0.0
        for number, part in enumerate(parts):
            batch, outputs, losses = self._fed(part)
            share = of_samples[number] if losses.ndim else of_scalar[number]
            if share:  # the mean over nothing is no number, and counts for nothing
                loss = share * (losses.mean() if losses.ndim else losses)
                step.loss = step.loss + loss.detach()
                self.guard.see_loss(step.loss)
                fast_backward(self._scaled(loss))
            made.append(detached({"batch": batch, "outputs": outputs, "losses": losses}))
        whole = joined(made, [samples(part) for part in parts])
        step.batch, step.outputs = whole["batch"], whole["outputs"]
        whole_losses: torch.Tensor = whole["losses"]
        return whole_losses

    def _fed(self, batch: Batch) -> tuple[Batch, Outputs, torch.Tensor]:
        """The batch on the device, the outputs, and what the loss gave."""
        if self._compiled is not None:
            batch, outputs, losses = self._compiled(batch)
        else:
            batch, outputs = self.feed(batch)
            losses = self.loss(batch, outputs)
        if not isinstance(losses, torch.Tensor):
            raise DataError(
                f"the loss is of type {type(losses).__name__}; give a tensor: a scalar, or one "
                "value a sample"
            )
        return batch, outputs, losses

    def _scaled(self, loss: torch.Tensor) -> Any:
        return loss if self.scaler is None else self.scaler.scale(loss)

    def _step(self) -> None:
        """The gradients are as they should be."""
        if self.scaler is not None:
            self.scaler.unscale_(self.opt)
        if self.clip is not None:
            self.clip([p for group in self.opt.param_groups for p in group["params"]])
        if self.scaler is None:
            fast_step(self.opt)
        else:
            self.scaler.step(self.opt)
            self.scaler.update()

    def train(self) -> None:
        """A last step may have spoilt the weights, and no loss after it would tell."""
        if self.guard.action != "warn":
            self.state_dict()

    def state_dict(self) -> State:
        """Model and optimizer, and the scaler."""
        state = {"model": self.model.state_dict(), "opt": self.opt.state_dict()}
        if self.scaler is not None:
            state["scaler"] = self.scaler.state_dict()
        self.guard.refuse_non_finite(state)
        return state

    def load_state_dict(self, state: State) -> None:
        """Put both back."""
        self.model.load_state_dict(state["model"])
        self.opt.load_state_dict(state["opt"])
        if self.scaler is not None and "scaler" in state:
            self.scaler.load_state_dict(state["scaler"])
