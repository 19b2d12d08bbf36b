"""The gradients of a step of which each rank has a share of the batch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Protocol

import torch
from torch import nn

from legoloop.core.batch_size import DefaultBatchDesc, SizedBatch
from legoloop.core.nested import detached, named_tensors
from legoloop.core.protocols import Batch, BatchSizer
from legoloop.core.ranks import Ranks
from legoloop.loop.step import Step
from legoloop.training.parallel.data_parallel import Parallel
from legoloop.training.step.compile import StepOutput
from legoloop.training.step.micro_batches import join, split_batch
from legoloop.training.torch_shortcuts import fast_zero_grad

ObserveLoss = Callable[[torch.Tensor], None]


class StepOfDescent(Protocol):
    """What a descent does in a step."""

    model: nn.Module
    opt: torch.optim.Optimizer
    micro_batch_size: int | None
    batch_desc: BatchSizer

    def checked_forward(self, batch: Batch) -> StepOutput:
        """The batch on the device, the outputs, and the loss."""
        ...

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradients of a loss."""
        ...


class RankGradients:
    """Computes the gradients of the whole batch, each rank those of its share.

    Each rank's loss counts by the samples that it really has, or by what ``batch_desc`` counts for
    a loss that is a scalar: so the gradients are those of one process that takes the shares as
    micro-batches. During the last backward pass the ranks tell each other their losses: what the
    guard decides about the step, it decides about the loss of all.

    Args:
        descent: runs model and loss, and the backward pass.
        parallel: sums the gradients.
        ranks: the ranks that train together.
    """

    def __init__(self, descent: StepOfDescent, parallel: Parallel, ranks: Ranks) -> None:
        self._descent = descent
        self._ranks = ranks
        self._forward = parallel.wrap(descent.model, descent.opt, descent.checked_forward)

    def compute(self, step: Step, observe_loss: ObserveLoss) -> torch.Tensor:
        """Forward and backward pass of this rank's share; returns its losses."""
        descent, ranks = self._descent, self._ranks
        share = step.share
        assert share is not None, "a stream that supports ranks tells the share of each batch"
        own = self._parts(step.batch)
        # Of a sharded model all ranks gather the weights together, so they take as many parts.
        parts = [*own, *self._missing(own, share.largest)]
        counted = [] if share.is_borrowed else own
        sizes = _padded([part.num_samples for part in counted], len(parts))
        counts, total_count = sizes, float(share.whole)
        if not isinstance(descent.batch_desc, DefaultBatchDesc):
            counts = _padded([descent.batch_desc(part) for part in counted], len(parts))
            total_count = ranks.total(sum(counts))
        made: list[Any] = []
        own_loss: Any = 0.0
        fast_zero_grad(descent.opt)
        for number, part in enumerate(parts):
            is_last = number == len(parts) - 1
            with nullcontext() if is_last else self._forward.no_sync():
                batch, outputs, losses = self._forward(part)
                if losses.ndim:
                    weight = sizes[number] / share.whole
                else:  # as one process does, equal shares if there is nothing to count
                    equal = 1 / len(parts) / ranks.size
                    weight = counts[number] / total_count if total_count else equal
                mean = losses.mean() if losses.ndim else losses
                if weight:  # the mean of no values is nan, and must not count
                    own_loss = own_loss + weight * mean.detach()
                # Torch takes the mean over the ranks, of which the number is taken out here.
                scaled = weight * ranks.size * mean if weight else _nothing(outputs)
                if is_last:
                    step.loss = self._backward_of_all(scaled, own_loss, observe_loss)
                else:
                    descent.backward(scaled)
            part_made = {"batch": batch, "outputs": outputs, "losses": losses}
            made.append(detached(part_made) if len(parts) > 1 else part_made)
        made = made[: len(own)]
        whole = join(made, [part.num_samples for part in own]) if len(made) > 1 else made[0]
        step.batch, step.outputs = whole["batch"], whole["outputs"]
        losses_of_share: torch.Tensor = whole["losses"]
        return losses_of_share

    def _parts(self, batch: Any) -> list[SizedBatch]:
        size = self._descent.micro_batch_size
        return [batch] if size is None else split_batch(batch, size)

    def _missing(self, parts: list[SizedBatch], largest: int) -> list[SizedBatch]:
        """Parts that count for nothing, as many as the rank with the largest share has more."""
        size = self._descent.micro_batch_size
        number = 1 if size is None else -(-largest // size)
        return [parts[0]] * (number - len(parts))

    def _backward_of_all(
        self, loss: torch.Tensor, own: torch.Tensor | float, observe_loss: ObserveLoss
    ) -> torch.Tensor:
        """The last backward pass, while the ranks tell each other their losses; the sum of these.

        Ranks that are not in a step leave this one waiting for their gradients until they end; the
        exchange knows the cause.
        """
        exchanged = self._ranks.start_exchange("step", float(own))
        try:
            self._descent.backward(loss)
        finally:
            losses = exchanged()
        whole = torch.tensor(losses, dtype=loss.dtype).sum()
        observe_loss(whole)
        return whole.to(loss.device, non_blocking=True)


def _padded(numbers: list[int], length: int) -> list[int]:
    return [*numbers, *[0] * (length - len(numbers))]


def _nothing(outputs: Any) -> torch.Tensor:
    """A loss of 0 that depends on all that the model did: the mean of no values would be nan."""
    tensors = [tensor for _, tensor in named_tensors(outputs) if tensor.requires_grad]
    zeros = [tensor.nan_to_num().sum() * 0 for tensor in tensors]
    return torch.stack([zero.float() for zero in zeros]).sum()
