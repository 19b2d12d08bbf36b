"""Stopping when a metric no longer improves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from legoloop.core.arguments import at_least
from legoloop.core.errors import ArgumentError
from legoloop.core.metric_direction import higher_is_better
from legoloop.core.monitor import Monitor, as_list, is_improvement
from legoloop.core.protocols import ScalarSource
from legoloop.loop.plugin import ShouldStop, State


class EarlyStopping:
    """Stops after ``patience`` epochs without an improvement of a metric.

    Where the metric is not evaluated after every epoch, or also within them, it stops after so many
    evaluations.

    Args:
        source: one source of scalars or several.
        metric: the name of the scalar, such as ``val/loss``.
        patience: epochs, or evaluations, without improvement, at least 1.
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
        self.monitor = Monitor(self.sources, metric, "early stopping")
        self.metric = metric
        self.patience = patience
        self.min_delta = min_delta
        self.mode = mode or ("max" if higher_is_better(metric) else "min")
        self.best: float | None = None
        self.waited = 0
        self._waits_for = "epochs"

    def within_epoch(self) -> ShouldStop | None:
        if (value := self.monitor.within_epoch()) is None:
            return None
        self._waits_for = "evaluations"
        return self._stop_if_worse(value)

    def epoch_end(self) -> ShouldStop | None:
        if (value := self.monitor.after_epoch()) is None:
            self._waits_for = "evaluations"
            return None
        return self._stop_if_worse(value)

    def _stop_if_worse(self, value: float) -> ShouldStop | None:
        if is_improvement(value, self.best, self.mode == "max", self.min_delta):
            self.best, self.waited = value, 0
            return None
        self.waited += 1
        if self.waited < self.patience:
            return None
        change = "risen above" if self.mode == "max" else "fallen below"
        return ShouldStop(
            f"{self.metric} has not {change} {self.best:.6g} for {self.patience} {self._waits_for}"
            if self.best is not None
            else f"{self.metric} was not a number for {self.patience} {self._waits_for}"
        )

    def state_dict(self) -> State:
        """The best value, and the epochs or evaluations since; of which metric."""
        of = [self.metric, self.mode]
        return {"best": self.best, "waited": self.waited, "for": self._waits_for, "of": of}

    def load_state_dict(self, state: State) -> None:
        """Load the best value, unless it is that of another metric."""
        if state.get("of", [self.metric, self.mode]) == [self.metric, self.mode]:
            self.best, self.waited = state["best"], state["waited"]
            self._waits_for = state.get("for", "epochs")
