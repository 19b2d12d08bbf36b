"""Metrics of what the model gave while it was trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from legoloop.core.arguments import entry
from legoloop.core.protocols import Arrays, Metrics, Scalars
from legoloop.evaluation.accumulators import as_array
from legoloop.loop.plugin import State
from legoloop.loop.step import Step


class TrainMetrics:
    """A source: the metrics of an epoch from its own training pass, which cost no evaluation.

    ``keys`` are the tensors, (samples, …), that ``method`` needs: outputs of the model, or entries
    of the batch. They are kept where they are until the epoch ends, and read then. They come from
    weights that change from batch to batch, with dropout and augmentation as in training; so they
    lie below what an evaluation of the same samples finds.

    Raises DataError for a key that neither has.

    >>> step = Step()
    >>> step.batch, step.outputs = {"target": torch.tensor([1, 0])}, {"guess": torch.tensor([1, 1])}
    >>> step.size = 2
    >>> def accuracy(found): return {"accuracy": (found["guess"] == found["target"]).mean()}
    >>> metrics = TrainMetrics(accuracy, keys=["guess", "target"])
    >>> metrics.epoch_start(); metrics.batch_end(step); metrics.epoch_end()
    >>> metrics.scalars()
    {'training/accuracy': 0.5}
    """

    def __init__(
        self, method: Metrics, keys: Sequence[str] = ("logits", "target"), prefix: str = "training/"
    ) -> None:
        self.method = method
        self.keys = tuple(keys)
        self.prefix = prefix
        self._kept: dict[str, list[torch.Tensor]] = {key: [] for key in self.keys}
        self._scalars: Scalars = {}

    def epoch_start(self) -> None:
        """Begin anew."""
        self._forget()
        self._scalars = {}

    def batch_end(self, step: Step) -> None:
        """Keep what the metrics need; a step that was skipped counts for nothing."""
        if step.size:
            there = {**step.batch, **step.outputs}
            for key, kept in self._kept.items():
                tensor = entry(there, key, "the batch with the outputs")
                kept.append(tensor.detach().clone())  # the next step may write into its memory

    def epoch_end(self) -> None:
        """Measure."""
        arrays: Arrays = {key: as_array(kept) for key, kept in self._together().items()}
        if arrays:
            measured = self.method(arrays)
            self._scalars = {f"{self.prefix}{name}": float(n) for name, n in measured.items()}
        self._forget()

    def scalars(self) -> Scalars:
        """Those of the epoch that ended last, until another begins."""
        return self._scalars

    def state_dict(self) -> State:
        """What the epoch has so far."""
        return {"kept": self._together(), "scalars": self._scalars}

    def load_state_dict(self, state: State) -> None:
        """Keep on from there."""
        self._forget()
        for key, kept in state["kept"].items():
            self._kept[key].append(kept)
        self._scalars = dict(state["scalars"])

    def _forget(self) -> None:
        for kept in self._kept.values():
            kept.clear()

    def _together(self) -> dict[str, torch.Tensor]:
        return {key: torch.cat(kept) for key, kept in self._kept.items() if kept}
