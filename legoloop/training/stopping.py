"""Stopping when a scalar no longer gets better."""

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
    """Stops after ``patience`` epochs in which a scalar of a source was not at its best.

    ``source`` is one or several; ``mode``, min or max, says which way is better, None: as is
    known of the metric, else min; a change counts if it is more than ``min_delta``. Raises
    ArgumentError for values out of range, and at the first epoch's end if no source has such a
    scalar.

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
            raise ArgumentError(f"mode is {mode!r}; give 'min' or 'max'")
        at_least(1, patience=patience)
        if min_delta < 0:
            raise ArgumentError(f"min_delta is {min_delta}; give 0 or more")
        self.sources = as_list(source)
        self.metric = metric
        self.patience = patience
        self.min_delta = min_delta
        self.mode = mode or ("max" if higher_is_better(metric) else "min")
        self.best: float | None = None
        self.waited = 0

    def epoch_end(self) -> ShouldStop | None:
        """Compare, and stop when patience is at its end."""
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
        """The best value and how long it has stood."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: State) -> None:
        """Wait on from there."""
        self.best, self.waited = state["best"], state["waited"]
