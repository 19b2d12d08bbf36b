"""One step of an optimizer that evaluates the loss as often as it likes."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, ClassVar

import torch
from torch import nn

from legoloop.core.buffer_snapshot import BufferSnapshot
from legoloop.core.errors import ArgumentError
from legoloop.core.protocols import BatchSizer, FeedProtocol, Loss
from legoloop.loop.step import Step
from legoloop.training.parallel.data_parallel import Parallel
from legoloop.training.parallel.sharded import FullySharded
from legoloop.training.step.compile import CUDAGRAPH_MODES
from legoloop.training.step.descent import GradientDescent
from legoloop.training.step.nonfinite_guard import NonFiniteGuard


class ClosureDescent(GradientDescent):
    """One training step per batch, of an optimizer that is given a closure, such as LBFGS or SAM.

    The closure makes a forward and a backward pass with the same batch and returns the loss; the
    optimizer calls it as often as it likes, also at weights that it only tries. ``evaluations``
    counts the calls. The step holds the outputs and the loss of the first one, at the weights
    that the step began with.

    What a GradientDescent does in a step happens at every call: gradients are accumulated over
    micro-batches and clipped, and the guard looks at the loss. A guard that stops ends the run
    where it is. One that skips leaves the whole step out, whichever call was not finite: weights,
    buffers and optimizer are as they were before it, for which they are copied before every step.

    Dropout draws anew at every call, and batch norm takes every call into its running statistics,
    as in a loop written by hand. A gradient scaler cannot go along, nor shards of the model.

    Args:
        opt: the optimizer; ``step(closure)`` is called.
        model: as for a GradientDescent, and so are all the others.
        feed: calls the model.
        loss: a scalar, or one value per sample.
        guard: looks at the loss of every call.
        clip: clips the gradients of every call.
        micro_batch_size: accumulates gradients over so many samples.
        batch_desc: weighs the micro-batches.
        compile: whether torch.compile compiles model and loss; no mode with CUDA graphs.
        scaler: None.
        parallel: how several ranks train together; not as shards.
        gradients_first: whether gradients are computed before ``step(closure)`` too, for an
            optimizer that takes those at the weights as they are for granted, as most versions
            of SAM do.

    Raises ArgumentError for what cannot go along, and whatever a GradientDescent does.

    >>> from legoloop.loop.step import Step
    >>> model = nn.Linear(1, 1, bias=False)
    >>> descent = ClosureDescent(
    ...     opt=torch.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe"),
    ...     model=model,
    ...     feed=lambda batch: (batch, {"y": model(batch["x"])}),
    ...     loss=lambda batch, outputs: ((outputs["y"] - 2) ** 2).mean(),
    ... )
    >>> step = Step()
    >>> step.batch = {"x": torch.ones(3, 1)}
    >>> descent.batch(step)
    >>> round(model.weight.item(), 4), descent.evaluations > 1
    (2.0, True)
    """

    gives_closure: ClassVar[bool] = True

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
        gradients_first: bool = False,
    ) -> None:
        if scaler is not None:
            raise ArgumentError(
                "scales gradients, with which an optimizer that evaluates the loss itself cannot "
                "reckon",
                argument="scaler",
                remedy="give precision=amp_bf16 or fp32",
            )
        if compile in CUDAGRAPH_MODES:
            raise ArgumentError(
                f"is {compile!r}, whose CUDA graphs overwrite the outputs at the next evaluation",
                argument="compile",
                remedy="give compile=true",
            )
        super().__init__(
            *(opt, model, feed, loss),
            guard=guard,
            clip=clip,
            micro_batch_size=micro_batch_size,
            batch_desc=batch_desc,
            compile=compile,
            parallel=parallel,
        )
        self.gradients_first = gradients_first
        self.evaluations = 0
        self._buffers_before = BufferSnapshot.of(model)

    def check_parallel(self, parallel: Parallel) -> None:
        """Raises ArgumentError for shards."""
        if isinstance(parallel, FullySharded):
            raise ArgumentError(
                f"is of class {type(self.opt).__name__}, which takes whole weights, but each rank "
                "has a shard",
                argument="opt",
                remedy="give parallel=ddp",
            )

    def make_step(self, step: Step) -> None:
        """Let the optimizer make its step, unless the guard skips it."""
        undo = self._what_undoes_the_step() if self.guard.action == "skip" else None
        evaluate = _Evaluations(self, step)
        try:
            if self.gradients_first:
                evaluate()
            self.opt.step(evaluate)  # type: ignore[arg-type]  # torch's own take a tensor
        except _SkippedError:
            assert undo is not None, "only then is a step skipped"
            undo()

    def state_dict(self) -> dict[str, Any]:
        """The states of model and optimizer, and the number of evaluations."""
        return {**super().state_dict(), "evaluations": self.evaluations}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.evaluations = state.get("evaluations", 0)

    def _what_undoes_the_step(self) -> Callable[[], None]:
        """A later call may be the one that is not finite, when the weights have changed."""
        weights = [p for group in self.opt.param_groups for p in group["params"]]
        before = [weight.detach().clone() for weight in weights]
        state = deepcopy(self.opt.state_dict())
        for buffers in self._buffers_before:
            buffers.save()

        @torch.no_grad()
        def undo() -> None:
            for weight, value in zip(weights, before, strict=True):
                weight.copy_(value)
            self.opt.load_state_dict(state)
            for buffers in self._buffers_before:
                buffers.restore()

        return undo


class _SkippedError(Exception):
    """Ends a step whose loss is not finite, from within the optimizer."""


class _Evaluations:
    """The closure of one step."""

    def __init__(self, descent: ClosureDescent, step: Step) -> None:
        self.descent = descent
        self.step = step
        self.is_first = True

    @torch.enable_grad()
    def __call__(self) -> torch.Tensor:
        descent, step = self.descent, self.step
        own = Step()
        own.batch, own.size, own.num_samples = step.batch, step.size, step.num_samples
        own.share = step.share
        is_allowed = descent.guard.allows(own, descent)
        descent.evaluations += 1
        if self.is_first or not is_allowed:
            step.outputs, step.loss, step.loss_float = own.outputs, own.loss, own.loss_float
            step.batch, step.size = own.batch, own.size
            self.is_first = False
        if not is_allowed:
            raise _SkippedError
        descent.clip_gradients()
        loss: torch.Tensor = own.loss
        return loss
