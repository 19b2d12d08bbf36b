"""Learning rates that change, and reporting them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch

from legoloop.core.errors import ArgumentError
from legoloop.core.metric_direction import higher_is_better
from legoloop.core.monitor import as_list, latest_scalar
from legoloop.core.protocols import Scalars, ScalarSource, TrainingProgress
from legoloop.loop.plugin import State
from legoloop.loop.step import Step


class LRScheduler:
    """Moves a torch scheduler on once per step or per epoch.

    The scheduler moves before every step (or epoch) but the first, so that each is made at the
    rate that a hand-written loop gives it. Raises ArgumentError for another unit, and for a
    scheduler that wants a metric.

    >>> from legoloop.training.counter import Counter
    >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> halving = torch.optim.lr_scheduler.ExponentialLR(opt, gamma=0.5)
    >>> counter = Counter()
    >>> plugin = LRScheduler(halving, counter, per="epoch")
    >>> plugin.epoch_start()
    >>> opt.step(); counter.epoch_end(); plugin.epoch_start()
    >>> opt.param_groups[0]["lr"]
    0.5
    """

    def __init__(
        self,
        scheduler: torch.optim.lr_scheduler.LRScheduler,
        counter: TrainingProgress,
        per: Literal["step", "epoch"] = "epoch",
    ) -> None:
        if per not in ("step", "epoch"):
            raise ArgumentError(f"per is {per!r}; give 'step' or 'epoch'")
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            raise ArgumentError(
                "ReduceLROnPlateau needs a metric; give it to ReduceLROnPlateauPlugin"
            )
        self.scheduler = scheduler
        self.counter = counter
        self.per = per
        self._moved_at = 0

    def epoch_start(self) -> None:
        """A new epoch, a new rate."""
        if self.per == "epoch":
            self._move(self.counter.epochs)

    def batch_start(self, step: Step) -> None:
        """A new step, a new rate."""
        if self.per == "step":
            self._move(self.counter.steps)

    def _move(self, done: int) -> None:
        """A descent that takes turns has not made a step with every batch."""
        if done > self._moved_at:
            self.scheduler.step()
            self._moved_at = done

    def state_dict(self) -> State:
        """That of the scheduler, and when it moved last."""
        return {"scheduler": self.scheduler.state_dict(), "moved_at": self._moved_at}

    def load_state_dict(self, state: State) -> None:
        """Go on from there."""
        self.scheduler.load_state_dict(state["scheduler"])
        self._moved_at = state["moved_at"]
        # Torch warns of a move before the first step, and cannot know of those before the resume.
        self.scheduler.optimizer._opt_called = True  # type: ignore[attr-defined]


class ReduceLROnPlateauPlugin:
    """Moves torch's ReduceLROnPlateau on once per epoch, by a scalar of the sources.

    The scalar is read after an epoch, and the rate changes with the next one. Raises ArgumentError
    if the scheduler takes for better what is known to be worse, and after an epoch if no source
    reports the scalar.

    >>> class Stuck:
    ...     def scalars(self): return {"val/loss": 1.0}
    >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> halving = torch.optim.lr_scheduler.ReduceLROnPlateau(opt, factor=0.5, patience=0)
    >>> plugin = ReduceLROnPlateauPlugin(halving, Stuck(), metric="val/loss")
    >>> for _ in range(2): plugin.epoch_start(); plugin.epoch_end()
    >>> plugin.epoch_start()
    >>> opt.param_groups[0]["lr"]
    0.5
    """

    def __init__(
        self,
        scheduler: torch.optim.lr_scheduler.ReduceLROnPlateau,
        sources: ScalarSource | Iterable[ScalarSource],
        metric: str,
    ) -> None:
        if not isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            raise ArgumentError(
                f"scheduler is a {type(scheduler).__name__}, which wants no metric; give it to "
                "LRScheduler, or give a ReduceLROnPlateau"
            )
        known = higher_is_better(metric)
        if known is not None and known != (scheduler.mode == "max"):
            raise ArgumentError(
                f"metric is '{metric}', but the scheduler's mode is {scheduler.mode}; "
                f"give it mode {'max' if known else 'min'}"
            )
        self.scheduler = scheduler
        self.sources = as_list(sources)
        self.metric = metric
        self._last: float | None = None

    def epoch_start(self) -> None:
        """A new epoch, maybe a new rate."""
        if self._last is not None:
            self.scheduler.step(self._last)
            self._last = None

    def epoch_end(self) -> None:
        """How good it was."""
        self._last = latest_scalar(self.sources, self.metric, "the plateau")

    def state_dict(self) -> State:
        """That of the scheduler, and what it has yet to be told."""
        return {"scheduler": self.scheduler.state_dict(), "last": self._last}

    def load_state_dict(self, state: State) -> None:
        """Go on from there."""
        self.scheduler.load_state_dict(state["scheduler"])
        self._last = state["last"]


class LearningRateMonitor:
    """A source: the rate of each parameter group, ``lr``, or ``lr/0``, ``lr/1`` and so on.

    >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    >>> LearningRateMonitor(opt).scalars()
    {'lr': 0.5}
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    def scalars(self) -> Scalars:
        """The rates as they are now."""
        rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        if len(rates) == 1:
            return {"lr": rates[0]}
        return {f"lr/{number}": rate for number, rate in enumerate(rates)}
