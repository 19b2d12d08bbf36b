"""Plugins that step learning rate schedulers, and a source of the learning rates."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Literal

import torch

from legoloop.core.as_constructed import reconciled
from legoloop.core.errors import ArgumentError
from legoloop.core.metric_direction import higher_is_better
from legoloop.core.monitor import Monitor, as_list
from legoloop.core.protocols import Scalars, ScalarSource, TrainingProgress
from legoloop.loop.plugin import State
from legoloop.loop.step import Step
from legoloop.training.schedules.scheduler_as_constructed import SchedulerAsConstructed


class LRScheduler:
    """Steps a torch scheduler once per training step or once per epoch.

    It does so before every step (or epoch) but the first: each then has the learning rate that it
    has in a loop that calls ``scheduler.step()`` after it. It does not move for a step that a
    gradient scaler left out.

    Args:
        scheduler: a scheduler of torch, other than ReduceLROnPlateau.
        counter: counts the steps and epochs; an AlternatingDescent for a scheduler of its own.
        interval: ``step`` or ``epoch``.

    Raises ArgumentError for another interval, and for a scheduler that needs a metric.

    >>> from legoloop.training.counter import Counter
    >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> halving = torch.optim.lr_scheduler.ExponentialLR(opt, gamma=0.5)
    >>> counter = Counter()
    >>> plugin = LRScheduler(halving, counter, interval="epoch")
    >>> plugin.epoch_start()
    >>> opt.step(); counter.epoch_end(); plugin.epoch_start()
    >>> opt.param_groups[0]["lr"]
    0.5
    """

    supports_ranks = True
    supports_members = True

    def __init__(
        self,
        scheduler: torch.optim.lr_scheduler.LRScheduler,
        counter: TrainingProgress,
        interval: Literal["step", "epoch"] = "epoch",
    ) -> None:
        if interval not in ("step", "epoch"):
            raise ArgumentError(
                f"is {interval!r}", argument="interval", remedy="give 'step' or 'epoch'"
            )
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            raise ArgumentError(
                "ReduceLROnPlateau needs a metric; give it to ReduceLROnPlateauPlugin"
            )
        self.scheduler = scheduler
        self.counter = counter
        self.interval = interval
        self._constructed = SchedulerAsConstructed(scheduler)
        self._stepped_at = 0
        self._ahead = 0  # of the counter, if earlier steps were of another size
        self._is_at_saved_place = False
        self._saved: State = {}

    def epoch_start(self) -> None:
        if self.interval == "epoch":
            self._step_once(self._done)

    def batch_start(self, step: Step) -> None:
        if self.interval == "step":
            self._step_once(self._done)

    def _step_once(self, done: int) -> None:
        """The counter of an AlternatingDescent does not advance with every batch."""
        while self._stepped_at < done:
            self.scheduler.step()
            self._stepped_at += 1

    def state_dict(self) -> State:
        """The state of the scheduler, what it was constructed with, and where it stands."""
        return {
            "scheduler": self.scheduler.state_dict(),
            "stepped_at": self._stepped_at,
            "ahead": self._ahead,
            "interval": self.interval,
            "total_steps": self._total_steps,
            "constructed": self._constructed.description,
        }

    def load_state_dict(self, state: State) -> None:
        """Load the state, if the scheduler was constructed as this one was.

        Otherwise ``after_load`` moves this one to its place.
        """
        if "stepped_at" not in state:  # that of a ReduceLROnPlateauPlugin
            return
        self._saved = state
        before = state.get("constructed"), state.get("interval")
        if before not in ((None, None), (self._constructed.description, self.interval)):
            return
        self.scheduler.load_state_dict(state["scheduler"])
        self._stepped_at = state["stepped_at"]
        self._ahead = state.get("ahead", 0)
        self._is_at_saved_place = True
        # torch warns of a scheduler step before the first optimizer step, which was made.
        self.scheduler.optimizer._opt_called = True  # type: ignore[attr-defined]

    def after_load(self, step_ratio: Fraction) -> None:
        """Move a scheduler that is new, or constructed otherwise, to its place on its own curve.

        Args:
            step_ratio: how many steps of the run as it is now make one of the saved run.
        """
        total_steps = self._total_steps
        if total_steps is not None and total_steps == self._saved.get("total_steps"):
            step_ratio = Fraction(1)  # the length is a number of steps, whatever their size
        if self.interval == "epoch":
            step_ratio = Fraction(1)
        if self._is_at_saved_place and step_ratio == 1:
            return
        done = self._done
        is_same_unit = self._saved.get("interval") == self.interval
        ahead = self._saved.get("ahead", 0) if is_same_unit else 0
        self._ahead = round((done + ahead) * step_ratio) - done
        self._stepped_at = self._saved["stepped_at"] if is_same_unit else done
        self._constructed.move_to(max(self._stepped_at + self._ahead, 0))
        self._is_at_saved_place = True

    @property
    def _done(self) -> int:
        """The epochs, or the steps without those that a gradient scaler left out."""
        if self.interval == "epoch":
            return self.counter.epochs
        left_out: int = getattr(self.counter, "left_out", 0)
        return self.counter.steps - left_out

    @property
    def _total_steps(self) -> int | None:
        """The length of the curve, if it has one."""
        total: int | None = getattr(self.scheduler, "total_steps", None)
        return total


class ReduceLROnPlateauPlugin:
    """Steps torch's ReduceLROnPlateau with a metric of the sources whenever that is new.

    The metric is read after an epoch, and when it is evaluated within one; the learning rate
    changes with the next epoch, or the next batch.

    Args:
        scheduler: a ReduceLROnPlateau of torch.
        sources: one source of scalars or several.
        metric: the name of the scalar, such as ``val/loss``.

    Raises ArgumentError if the mode of the scheduler contradicts the direction of a well-known
    metric, for another scheduler, and after an epoch if no source reports the metric.

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

    supports_ranks = True
    supports_members = True

    def __init__(
        self,
        scheduler: torch.optim.lr_scheduler.ReduceLROnPlateau,
        sources: ScalarSource | Iterable[ScalarSource],
        metric: str,
    ) -> None:
        if not isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            raise ArgumentError(
                f"is a {type(scheduler).__name__}, which needs no metric",
                argument="scheduler",
                remedy="give it to LRScheduler, or give a ReduceLROnPlateau",
            )
        known = higher_is_better(metric)
        if known is not None and known != (scheduler.mode == "max"):
            raise ArgumentError(
                f"is '{metric}', but the scheduler's mode is {scheduler.mode}",
                argument="metric",
                remedy=f"give the scheduler mode={'max' if known else 'min'}",
            )
        for group in scheduler.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])  # as torch's other schedulers do
        self.scheduler = scheduler
        self.sources = as_list(sources)
        self.monitor = Monitor(self.sources, metric, "the plateau")
        self.metric = metric
        self._constructed = SchedulerAsConstructed(scheduler)
        self._last: float | None = None
        self._is_loaded = False

    def epoch_start(self) -> None:
        self._step_if_new()

    def batch_start(self, step: Step) -> None:
        self._step_if_new()

    def within_epoch(self) -> None:
        self._keep(self.monitor.within_epoch())

    def epoch_end(self) -> None:
        self._keep(self.monitor.after_epoch())

    def _keep(self, value: float | None) -> None:
        if value is not None:
            self._last = value

    def _step_if_new(self) -> None:
        if self._last is not None:
            self.scheduler.step(self._last)
            self._last = None

    def state_dict(self) -> State:
        """The state of the scheduler, and the metric that it was not stepped with yet."""
        return {
            "scheduler": self.scheduler.state_dict(),
            "last": self._last,
            "metric": self.metric,
            "settings": self._constructed.settings,
        }

    def load_state_dict(self, state: State) -> None:
        """Load what the scheduler saw of the metric; settings changed since stay as they are."""
        if "last" not in state or state.get("metric", self.metric) != self.metric:
            return
        now, current = self._constructed.settings, self.scheduler.state_dict()
        then = state.get("settings", now)
        self.scheduler.load_state_dict(reconciled(state["scheduler"], then, now, current))
        self._last = state["last"]
        self._is_loaded = True

    def after_load(self, step_ratio: Fraction) -> None:
        """Begin at the configured rate, if another scheduler or metric has set that of the state.

        Args:
            step_ratio: of no importance here.
        """
        if not self._is_loaded:
            self._constructed.move_to(0)


class LearningRateMonitor:
    """Reports the learning rates: ``lr``, or ``lr/0``, ``lr/1``, … if there are several groups.

    Args:
        optimizer: the optimizer.

    >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    >>> LearningRateMonitor(opt).scalars()
    {'lr': 0.5}
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    def scalars(self) -> Scalars:
        """The current learning rate of each parameter group."""
        rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        if len(rates) == 1:
            return {"lr": rates[0]}
        return {f"lr/{number}": rate for number, rate in enumerate(rates)}
