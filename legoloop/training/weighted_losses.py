"""A loss that is the sum of several."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add

import torch

from legoloop.core.batch_size import DefaultBatchDesc
from legoloop.core.errors import ArgumentError
from legoloop.core.protocols import Batch, BatchSizer, Loss, Outputs, Scalars
from legoloop.core.suggestions import did_you_mean
from legoloop.loop.plugin import State
from legoloop.loop.step import Step
from legoloop.training.running_mean import RunningMean


class WeightedLosses:
    """The weighted sum of several losses, and a source: the mean of each over the epoch.

    Given to a descent as ``loss``, and listed among the plugins. Each of ``losses`` is a
    ``loss(batch, outputs)`` of its own, a scalar or one value per sample, (batch,); if all give one
    per sample, so does their sum. ``weights`` are 1 where none is given. What is reported, as
    ``loss/<name>``, is without its weight, and summed on the device.

    ``batch_desc`` weighs the parts of a batch that is taken in micro-batches, None: by samples.

    Raises ArgumentError if there are no losses, and for the weight of one that is not there.

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
        self._parts: list[tuple[dict[str, torch.Tensor], int]] | None = None

    def __call__(self, batch: Batch, outputs: Outputs) -> torch.Tensor:
        """The weighted sum."""
        given = {name: loss(batch, outputs) for name, loss in self.losses.items()}
        means = {name: losses.mean() for name, losses in given.items()}
        if self._parts is not None:
            seen = {name: mean.detach() for name, mean in means.items()}
            self._parts.append((seen, self.batch_desc(batch)))
        summed = given if all(losses.ndim for losses in given.values()) else means
        return reduce(add, (self.weights[name] * losses for name, losses in summed.items()))

    def batch_start(self, step: Step) -> None:
        """Note what is given until the step ends; an evaluation with this loss is not noted."""
        self._parts = []

    def epoch_start(self) -> None:
        """New means."""
        for mean in self.means.values():
            mean.clear()

    def batch_end(self, step: Step) -> None:
        """Add what was given for the batch, unless the guard skipped it."""
        parts, self._parts = self._parts or [], None
        whole = sum(size for _, size in parts)
        if not step.size or not whole:
            return
        for name, mean in self.means.items():
            of_batch = reduce(add, (seen[name] * (size / whole) for seen, size in parts if size))
            mean.add(of_batch, weight=step.size)

    def scalars(self) -> Scalars:
        """The means so far; nothing before the first batch."""
        return {tag: n for mean in self.means.values() for tag, n in mean.scalars().items()}

    def state_dict(self) -> State:
        """The sums so far."""
        return {name: [mean.total, mean.weight] for name, mean in self.means.items()}

    def load_state_dict(self, state: State) -> None:
        """Add on from there."""
        for name, (total, weight) in state.items():
            self.means[name].take(total, weight)
