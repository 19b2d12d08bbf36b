"""A weighted sum of losses."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add

import torch

from legoloop.core.batch_size import DefaultBatchDesc
from legoloop.core.errors import ArgumentError
from legoloop.core.protocols import Batch, BatchSizer, Loss, Outputs, Scalars
from legoloop.core.ranks import current_ranks
from legoloop.core.suggestions import did_you_mean
from legoloop.loop.plugin import State
from legoloop.loop.step import Step
from legoloop.training.loss_shape import check_losses
from legoloop.training.running_mean import RunningMean


class WeightedLosses:
    """Weighted sum of several losses; source of the mean of each over the epoch.

    Given to a GradientDescent as ``loss``, and also listed among the plugins. The scalars
    ``loss/<name>`` are the means without the weights.

    Args:
        losses: functions ``loss(batch, outputs)`` by name, each returning a scalar or one value per
            sample, shape (batch,).
        weights: the weight of each loss by name, 1 by default.
        tag: the prefix of the scalars.
        batch_desc: weighs micro-batches; None: by their samples.

    Raises ArgumentError if there are no losses, and for a weight of one that does not exist, and
    DataError for a loss of another shape.

    >>> losses = WeightedLosses(
    ...     {"far": lambda batch, outputs: outputs["y"].abs().mean(),
    ...      "high": lambda batch, outputs: outputs["y"].mean()},
    ...     weights={"high": 0.5},
    ... )
    >>> step = Step()
    >>> step.size = 2
    >>> losses.batch_start(step)
    >>> losses({"x": [0, 0]}, {"y": torch.tensor([4.0, -2.0])})
    tensor(3.5000)
    >>> losses.batch_end(step)
    >>> losses.scalars()
    {'loss/far': 3.0, 'loss/high': 1.0}
    """

    supports_ranks = True
    trained_alone = "takes the mean of each of its losses"

    def __init__(
        self,
        losses: Mapping[str, Loss],
        weights: Mapping[str, float] | None = None,
        tag: str = "loss",
        batch_desc: BatchSizer | None = None,
    ) -> None:
        if not losses:
            raise ArgumentError("is empty", argument="losses", remedy="give at least one, by name")
        for name in weights or {}:
            if name not in losses:
                raise ArgumentError(
                    f"has '{name}'", argument="weights", remedy=did_you_mean(name, losses)
                )
        self.losses = dict(losses)
        self.weights = {name: (weights or {}).get(name, 1.0) for name in losses}
        self.batch_desc = batch_desc or DefaultBatchDesc()
        self.means = {name: RunningMean(f"{tag}/{name}") for name in losses}
        self._micro_batches: list[tuple[dict[str, torch.Tensor], int]] | None = None

    def __call__(self, batch: Batch, outputs: Outputs) -> torch.Tensor:
        """The weighted sum: one value per sample if all losses are, else a scalar."""
        given = {name: loss(batch, outputs) for name, loss in self.losses.items()}
        for name, losses in given.items():
            check_losses(losses, batch, outputs, name=f"the loss '{name}'")
        means = {name: losses.mean() for name, losses in given.items()}
        if self._micro_batches is not None:
            seen = {name: mean.detach() for name, mean in means.items()}
            self._micro_batches.append((seen, self.batch_desc(batch)))
        summed = given if all(losses.ndim for losses in given.values()) else means
        return reduce(add, (self.weights[name] * losses for name, losses in summed.items()))

    def batch_start(self, step: Step) -> None:
        """Record the losses until the step ends, but not those of an evaluation."""
        self._micro_batches = []

    def epoch_start(self) -> None:
        for mean in self.means.values():
            mean.reset()

    def batch_end(self, step: Step) -> None:
        """Add the losses of the batch, unless the guard skipped the step."""
        micro_batches, self._micro_batches = self._micro_batches or [], None
        if step.share is not None:
            own = [] if step.share.is_borrowed else micro_batches
            micro_batches = [each for of_rank in current_ranks().gather(own) for each in of_rank]
        whole = sum(size for _, size in micro_batches)
        if not step.size or not whole:
            return
        for name, mean in self.means.items():
            of_batch = reduce(
                add, (seen[name] * (size / whole) for seen, size in micro_batches if size)
            )
            mean.add(of_batch, weight=step.size)

    def scalars(self) -> Scalars:
        """The means of the epoch so far; empty before the first batch."""
        return {tag: n for mean in self.means.values() for tag, n in mean.scalars().items()}

    def state_dict(self) -> State:
        """The weighted sums and their weights."""
        return {name: [mean.total, mean.weight] for name, mean in self.means.items()}

    def load_state_dict(self, state: State) -> None:
        """Go on with the means of the losses that are still there."""
        for name in self.means.keys() & state.keys():
            self.means[name].load(*state[name])
