"""Stopping when a metric no longer improves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from legoloop.core.arguments import at_least
from legoloop.core.errors import ArgumentError
from legoloop.core.metric_direction import higher_is_better
from legoloop.core.monitor import as_list, is_improvement, latest_scalar
from legoloop.core.protocols import ScalarSource
from legoloop.loop.plugin import ShouldStop, State


class EarlyStopping:
    """Stops after ``patience`` epochs without an improvement of a metric.

    Args:
        source: one source of scalars or several.
        metric: the name of the scalar, such as ``val/loss``.
        patience: epochs without improvement, at least 1.
        min_delta: an improvement is a change by more than this.
        mode: ``min`` or ``max``; None: the known direction of the metric, else ``min``.

    Raises ArgumentError for values out of range, and after the first epoch if no source has the
    metric.

    >>> class Falling:
    ...     def __init__(self): self.value = 1.0
    ...     def scalars(self): self.value -= 0.1; return {"val/accuracy": self.value}
    >>> stopping = EarlyStopping(Falling(), metric="val/accuracy", patience=1, mode="max")
    >>> stopping.epoch_end()
    >>> stopping.epoch_end().reason
    'val/accuracy has not risen above 0.9 for 1 epochs'
    """

    def __init__(
        self,
        source: ScalarSource | Iterable[ScalarSource],
        metric: str,
        patience: int = 3,
        min_delta: float = 0.0,
        mode: Literal["min", "max"] | None = None,
    ) -> None:
        if mode not in ("min", "max", None):
            raise ArgumentError(f"is {mode!r}", argument="mode", remedy="give 'min' or 'max'")
        at_least(1, patience=patience)
        if min_delta < 0:
            raise ArgumentError(f"is {min_delta}", argument="min_delta", remedy="give 0 or more")
        self.sources = as_list(source)
        self.metric = metric
        self.patience = patience
        self.min_delta = min_delta
        self.mode = mode or ("max" if higher_is_better(metric) else "min")
        self.best: float | None = None
        self.waited = 0

    def epoch_end(self) -> ShouldStop | None:
        value = latest_scalar(self.sources, self.metric, "early stopping")
        if is_improvement(value, self.best, self.mode == "max", self.min_delta):
            self.best, self.waited = value, 0
            return None
        self.waited += 1
        if self.waited < self.patience:
            return None
        change = "risen above" if self.mode == "max" else "fallen below"
        return ShouldStop(
            f"{self.metric} has not {change} {self.best:.6g} for {self.patience} epochs"
            if self.best is not None
            else f"{self.metric} was not a number for {self.patience} epochs"
        )

    def state_dict(self) -> State:
        """The best value, and the epochs since; of which metric."""
        return {"best": self.best, "waited": self.waited, "of": [self.metric, self.mode]}

    def load_state_dict(self, state: State) -> None:
        """Load the best value, unless it is that of another metric."""
        if state.get("of", [self.metric, self.mode]) == [self.metric, self.mode]:
            self.best, self.waited = state["best"], state["waited"]
