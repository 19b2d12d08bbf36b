"""Metrics of the training pass itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from legoloop.core.arguments import require_key
from legoloop.core.protocols import Arrays, Metrics, Scalars
from legoloop.core.ranks import current_ranks
from legoloop.evaluation.accumulators import as_array
from legoloop.loop.plugin import State
from legoloop.loop.step import Step


class TrainMetrics:
    """A source: the metrics of an epoch from its own training pass, without an evaluation.

    The tensors stay on their device until the epoch ends. They come from weights that change from
    batch to batch, with dropout and augmentation as in training; so the metrics are usually worse
    than those of an evaluation of the same samples.

    Args:
        method (Callable): takes a dict of arrays and returns a dict of numbers.
        keys (Sequence[str]): the tensors, (samples, …), that ``method`` needs: outputs of the
            model, or entries of the batch.
        prefix (str): goes before the names of the metrics.

    Raises DataError for a key that neither has.

    >>> step = Step()
    >>> step.batch, step.outputs = {"target": torch.tensor([1, 0])}, {"guess": torch.tensor([1, 1])}
    >>> step.size = 2
    >>> def accuracy(arrays): return {"accuracy": (arrays["guess"] == arrays["target"]).mean()}
    >>> metrics = TrainMetrics(accuracy, keys=["guess", "target"])
    >>> metrics.epoch_start(); metrics.batch_end(step); metrics.epoch_end()
    >>> metrics.scalars()
    {'training/accuracy': 0.5}
    """

    supports_ranks = True
    supports_members = True

    def __init__(
        self, method: Metrics, keys: Sequence[str] = ("logits", "target"), prefix: str = "training/"
    ) -> None:
        self.method = method
        self.keys = tuple(keys)
        self.prefix = prefix
        self._collected: dict[str, list[torch.Tensor]] = {key: [] for key in self.keys}
        self._scalars: Scalars = {}

    def epoch_start(self) -> None:
        self._reset()
        self._scalars = {}

    def batch_end(self, step: Step) -> None:
        """Keep what the metrics need; a step that was skipped counts for nothing."""
        if step.size:
            values = {**step.batch, **step.outputs}
            for key, tensors in self._collected.items():
                tensor = require_key(values, key, "the batch with the outputs")
                own = 0 if step.share is not None and step.share.is_borrowed else None
                tensors.append(tensor[:own].detach().clone())  # the next step may write into it

    def epoch_end(self) -> None:
        """Compute the metrics."""
        arrays: Arrays = {key: as_array(tensor) for key, tensor in self._concatenated().items()}
        if arrays:
            metrics = self.method(arrays)
            self._scalars = {f"{self.prefix}{name}": float(n) for name, n in metrics.items()}
        self._reset()

    def scalars(self) -> Scalars:
        """Those of the epoch that ended last, until another begins."""
        return self._scalars

    def state_dict(self) -> State:
        """What the epoch has so far."""
        return {"collected": self._concatenated(), "scalars": self._scalars}

    def load_state_dict(self, state: State) -> None:
        """Go on with what the epoch has; for other keys, with what is yet to come of it."""
        self._reset()
        if state["collected"].keys() == self._collected.keys():
            for key, tensor in state["collected"].items():
                own = None if current_ranks().is_writer else 0  # it is that of all ranks
                self._collected[key].append(tensor[:own])
        self._scalars = dict(state["scalars"])

    def _reset(self) -> None:
        for tensors in self._collected.values():
            tensors.clear()

    def _concatenated(self) -> dict[str, torch.Tensor]:
        """What all ranks have, batch after batch, and within each in the order of the ranks."""
        collected = self._collected
        ranks = current_ranks()
        if not ranks.is_alone:
            own = {key: [tensor.cpu() for tensor in kept] for key, kept in collected.items()}
            gathered = ranks.gather(own)
            batches = {key: zip(*(each[key] for each in gathered), strict=True) for key in own}
            collected = {key: [t for batch in batches[key] for t in batch] for key in own}
        return {key: torch.cat(tensors) for key, tensors in collected.items() if tensors}
