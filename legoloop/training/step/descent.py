"""One step of gradient descent."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import nn

from legoloop.core.arguments import at_least
from legoloop.core.as_constructed import described_settings, reconciled
from legoloop.core.batch_size import DefaultBatchDesc, SizedBatch
from legoloop.core.buffer_snapshot import (
    BufferSnapshot,
    is_running_statistic,
    own_expanded_buffers,
)
from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.evaluated_weights import EvaluatedWeights
from legoloop.core.lazy_modules import reject_lazy_modules
from legoloop.core.nested import detached, named_tensors
from legoloop.core.out_of_memory import is_out_of_memory, out_of_memory
from legoloop.core.protocols import Batch, BatchSizer, FeedProtocol, Loss
from legoloop.core.ranks import current_ranks
from legoloop.core.shards import load_whole, whole
from legoloop.core.text import shorten
from legoloop.loop.plugin import State
from legoloop.loop.step import Step
from legoloop.training.loss_shape import check_losses
from legoloop.training.parallel.data_parallel import DataParallel, Parallel
from legoloop.training.parallel.sharded import FullySharded
from legoloop.training.step.closure import needs_closure
from legoloop.training.step.compile import CUDAGRAPH_MODES, StepOutput, compile_step, forward
from legoloop.training.step.feed import Feed
from legoloop.training.step.micro_batches import join, shares, split_batch
from legoloop.training.step.nonfinite_guard import NonFiniteGuard, ObserveLoss
from legoloop.training.step.optimizer_state import OptimizerState
from legoloop.training.step.rank_gradients import RankGradients
from legoloop.training.tensors import are_finite, has_nan
from legoloop.training.torch_shortcuts import fast_backward, fast_step, fast_zero_grad

log = logging.getLogger("legoloop")

Phase = Literal["forward", "backward", "optimizer"]


class MemberOfGroup(Protocol):
    """Where several runs train as one program, what that made for this one."""

    def take_finite_step(self, step: Any) -> bool:
        """Make the step if its loss is finite, at less cost than the guard; False: it is not."""
        ...

    def compute_gradients(self, step: Step, observe_loss: ObserveLoss) -> torch.Tensor:
        """Fill the step; returns the loss, a scalar or one value per sample."""
        ...

    def optimizer_step(self) -> None:
        """Change the weights."""
        ...


class GradientDescent:
    """One training step per batch: forward pass, loss, backward pass, optimizer step.

    The step is filled with the batch on its device, the outputs and the detached loss. Where the
    guard skips the step, its ``size`` and ``loss`` become 0.

    ``on_phase``, None by default, may be set to a function for timing: it is called with
    ``"forward"`` (which includes the loss), ``"backward"`` and ``"optimizer"`` when each has ended;
    with micro-batches the first two are called for each.

    Args:
        opt: the optimizer; one that evaluates the loss itself, such as LBFGS, takes a
            ClosureDescent.
        model: the model that is trained.
        feed: ``feed(batch) -> (batch on the device, outputs)``, such as a ``Feed``.
        loss: ``loss(batch, outputs)`` gives a scalar, or one value per sample, shape (batch,),
            of which the mean is taken. A module is moved to the device of a ``Feed``; its
            parameters, if it has any, belong in the optimizer.
        guard: checks the loss before the optimizer's step; None: a NonFiniteGuard that stops.
        clip: called with the list of the optimizer's parameters before its step, such as a
            GradientClipping.
        micro_batch_size: accumulates gradients over micro-batches of at most so many samples, and
            makes the step that the whole batch would make.
        batch_desc: weighs the micro-batches if the loss is a scalar, such as a mean over tokens;
            None: by their samples.
        compile: whether torch.compile compiles model and loss: true, false, or one of its modes,
            such as ``reduce-overhead``.
        scaler: scales the loss, so that fp16 gradients do not underflow; skips a step whose
            gradients overflow.
        parallel: how several ranks train together; None: as the configuration says, or else a
            DataParallel. A process alone does not ask it.

    Raises ArgumentError for arguments out of range or that exclude each other, and for a model with
    lazy modules; DataError where the guard does, for a loss of another shape, and instead of
    returning a state that is not finite.

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

    supports_ranks = True
    supports_members = True
    of_each_member = ("guard", "clip")
    """Arguments that are used outside of the passes that several runs may share."""
    gives_closure: ClassVar[bool] = False
    on_phase: Callable[[Phase], object] | None = None
    member: MemberOfGroup | None = None

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
        parallel: Parallel | None = None,
    ) -> None:
        if micro_batch_size is not None:
            at_least(1, micro_batch_size=micro_batch_size)
            if compile in CUDAGRAPH_MODES:
                raise ArgumentError(
                    f"is {compile!r}, whose CUDA graphs reuse gradient buffers, so "
                    "gradients cannot be accumulated over micro-batches",
                    argument="compile",
                    remedy="give compile=true",
                )
        if needs_closure(opt) and not self.gives_closure:
            raise ArgumentError(
                f"is of class {type(opt).__name__}, which evaluates the loss several times a step",
                argument="opt",
                remedy="give it to a ClosureDescent, as optimizer=lbfgs does",
            )
        reject_lazy_modules(model)
        own_expanded_buffers(model)
        self.opt = opt
        self._opt_state = OptimizerState(opt, model)
        self.model = model
        self.feed = feed
        self.loss = loss
        if isinstance(loss, nn.Module) and isinstance(feed, Feed):
            loss.to(feed.device)
        self.guard = guard or NonFiniteGuard()
        self.clip = clip
        self.micro_batch_size = micro_batch_size
        self.batch_desc = batch_desc or DefaultBatchDesc()
        if scaler is not None and self.guard.gradients:
            raise ArgumentError(
                "has gradients=true, but the scaler checks the gradients itself",
                argument="guard",
                remedy="give one of them",
            )
        self.scaler = scaler
        self._scaler_constructed = described_settings(scaler.state_dict()) if scaler else {}
        self._scaler_constructed.pop("scale", None)  # it is where the scale began
        self.buffers = BufferSnapshot.of(model) if self.guard.undoes_steps else []
        self.compiles = compile
        self._forward = compile_step(feed, compile) if compile else forward
        ranks = current_ranks()
        self.parallel: Parallel = parallel or ranks.parallel or DataParallel()
        self.check_parallel(self.parallel)
        self._rank_gradients = None if ranks.is_alone else RankGradients(self, self.parallel, ranks)
        self._nonfinite_at_start = {
            f"model.{name}" for name, value in model.state_dict().items() if not are_finite(value)
        }
        self._told_buffers: set[str] = set()
        self._is_left_out = False
        self._evaluated = EvaluatedWeights.of(model, opt)

    def check_parallel(self, parallel: Parallel) -> None:
        """Raises ArgumentError for what cannot be trained so by several ranks."""
        if self.scaler is not None and isinstance(parallel, FullySharded):
            raise ArgumentError(
                "cannot scale gradients of which each rank has a shard",
                argument="scaler",
                remedy="give precision=amp_bf16, or parallel=ddp",
            )

    def train_start(self) -> None:
        """Set the model to training mode."""
        self.model.train()

    def batch(self, step: Step) -> None:
        """Make one step, unless the guard skips it."""
        if self._evaluated is not None:
            self._evaluated.train()
        try:
            self.make_step(step)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise self._out_of_memory(step, error) from error
            raise
        if self.on_phase is not None:
            self.on_phase("optimizer")

    def make_step(self, step: Step) -> None:
        """Compute the gradients and step the optimizer, if the guard allows it."""
        self._is_left_out = False
        if self.member is None or not self.member.take_finite_step(step):
            self.guard.run_step(step, self)
        step.is_left_out = self._is_left_out

    def _out_of_memory(self, step: Step, error: RuntimeError) -> DataError:
        samples = step.num_samples or DefaultBatchDesc()(step.batch)
        at_once = min(self.micro_batch_size or samples, samples)
        return out_of_memory(
            f"the step of {at_once} samples at once",
            f"give the descent micro_batch_size={at_once // 2}, which makes the same step of the "
            "whole batch"
            if at_once > 1
            else "give a smaller model, or precision=amp_bf16",
            error,
        )

    def compute_gradients(self, step: Step, observe_loss: ObserveLoss) -> torch.Tensor:
        """Forward and backward pass; returns the loss, a scalar or one value per sample."""
        if self.member is not None:
            return self.member.compute_gradients(step, observe_loss)
        if step.num_samples is not None and not isinstance(step.batch, SizedBatch):
            step.batch = SizedBatch(step.batch, step.num_samples, step.share)
        if self._rank_gradients is not None:
            return self._rank_gradients.compute(step, observe_loss)
        if self.micro_batch_size is not None:
            return self._accumulate_gradients(step, observe_loss, self.micro_batch_size)
        step.batch, step.outputs, losses = self.checked_forward(step.batch, step.size)
        step.loss = loss = losses.mean() if losses.ndim else losses
        observe_loss(loss)
        fast_zero_grad(self.opt)
        self.backward(loss)
        return losses

    def optimizer_step(self) -> None:
        """Unscale and clip the gradients, and step the optimizer."""
        if self.scaler is not None:
            self.scaler.unscale_(self.opt)
        self.clip_gradients()
        if self.member is not None:
            self.member.optimizer_step()
        elif self.scaler is None:
            fast_step(self.opt)
        else:
            self._scaled_step(self.scaler)

    def _scaled_step(self, scaler: torch.amp.GradScaler) -> None:
        """A scale that falls means that the step was left out; reading it waits for the step."""
        before = scaler.get_scale()
        scaler.step(self.opt)
        scaler.update()
        self._is_left_out = scaler.get_scale() < before

    def clip_gradients(self) -> None:
        """Call ``clip`` with the parameters of the optimizer."""
        if self.clip is not None:
            self.clip([p for group in self.opt.param_groups for p in group["params"]])

    def _accumulate_gradients(
        self, step: Step, observe_loss: ObserveLoss, size: int
    ) -> torch.Tensor:
        """The same gradients, summed over micro-batches."""
        micro_batches = split_batch(step.batch, size)
        num_samples = DefaultBatchDesc()
        sample_shares = shares(micro_batches, num_samples)
        scalar_shares = shares(micro_batches, self.batch_desc)
        made = []
        fast_zero_grad(self.opt)
        step.loss = 0.0
        for number, micro_batch in enumerate(micro_batches):
            batch, outputs, losses = self.checked_forward(micro_batch)
            share = sample_shares[number] if losses.ndim else scalar_shares[number]
            if share:  # the mean of no values is nan, and must not count
                loss = share * (losses.mean() if losses.ndim else losses)
                step.loss = step.loss + loss.detach()
                observe_loss(step.loss)
                self.backward(loss)
            made.append(detached({"batch": batch, "outputs": outputs, "losses": losses}))
        whole = join(made, [num_samples(micro_batch) for micro_batch in micro_batches])
        step.batch, step.outputs = whole["batch"], whole["outputs"]
        whole_losses: torch.Tensor = whole["losses"]
        return whole_losses

    def checked_forward(self, batch: Batch, size: int | None = None) -> StepOutput:
        """The batch on the device, the outputs of the model, and the loss, whose shape is right."""
        moved, outputs, losses = self._forward(self.feed, self.loss, batch)
        check_losses(losses, batch, outputs, size)
        if self.on_phase is not None:
            self.on_phase("forward")
        return moved, outputs, losses

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradients of a loss, scaled."""
        scaled: Any = loss if self.scaler is None else self.scaler.scale(loss)
        fast_backward(scaled)
        if self.on_phase is not None:
            self.on_phase("backward")

    def train(self) -> None:
        """Check the weights: the last step may have spoilt them, and no loss follows it.

        Those that a schedule-free optimizer evaluates are the model's from here on.
        """
        if self._evaluated is not None:
            self._evaluated.eval()
        if self.guard.action != "warn":
            self.state_dict()

    def state_dict(self) -> State:
        """The states of model, optimizer and scaler; raises DataError if they are not finite."""
        if self._rank_gradients is not None:
            self.parallel.check(self.model)
        state = {"model": self.model.state_dict(), **self._opt_state.state_dict()}
        if self.scaler is not None:
            state["scaler"] = self.scaler.state_dict()
            state["scaler_constructed"] = self._scaler_constructed
        state = whole(state)
        self._reject_nonfinite(state)
        if self._evaluated is not None:
            state.update(self._evaluated.state_dict(self.model))
        return state

    def load_state_dict(self, state: State) -> None:
        """Load the states of model, optimizer and scaler.

        Settings of the optimizer and the scaler that are constructed otherwise than those of the
        state were stay as they are.
        """
        load_whole(self.model, state["model"])
        self._opt_state.load(state)
        if self.scaler is not None and state.get("scaler"):  # that of a disabled one is empty
            now, current = self._scaler_constructed, self.scaler.state_dict()
            then = state.get("scaler_constructed", now)
            if current:
                self.scaler.load_state_dict(reconciled(state["scaler"], then, now, current))
        if self._evaluated is not None:
            self._evaluated.load_state_dict(state)

    def _reject_nonfinite(self, state: State) -> None:
        """What was not finite from the beginning may be so, and a buffer may be infinite.

        A module sets masks of infinities itself; but running statistics overflow.
        """
        wrong = {
            name: value
            for name, value in named_tensors(state)
            if name not in self._nonfinite_at_start and not are_finite(value)
        }
        buffers = {f"model.{name}" for name, _ in self.model.named_buffers()} & wrong.keys()
        meant = {n for n in buffers if not is_running_statistic(n) and not has_nan(wrong[n])}
        names = [name for name in wrong if name not in meant]
        if not names:
            return
        counter = self.guard.counter
        when = f"after step {counter.steps}: " if counter is not None else ""
        problem = f"{when}these are not finite any more: {shorten(names)}"
        if not buffers.issuperset(names):
            raise DataError(
                f"{problem}; gradients=true of the guard stops at the first gradient that is not"
            )
        if self.guard.action != "warn":
            raise DataError(f"{problem}; if these buffers may be so, give action=warn to the guard")
        if not self._told_buffers.issuperset(names):
            log.warning("%s; they are saved all the same", problem)
            self._told_buffers.update(names)
