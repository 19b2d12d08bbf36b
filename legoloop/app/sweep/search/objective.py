"""What a search optimises: metrics that its runs record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite, nan
from typing import Any, Literal

from legoloop.core.errors import ArgumentError, ConfigError
from legoloop.core.metric_direction import HIGHER, LOWER
from legoloop.core.monitor import is_maximized
from legoloop.core.protocols import ScalarSource
from legoloop.core.suggestions import did_you_mean
from legoloop.core.text import shown
from legoloop.evaluation.acc_metrics import AccumulatorMetrics
from legoloop.evaluation.evaluator import Evaluator
from legoloop.loop.host import TrainingHost

MONITOR, DIRECTION = "hydra.sweeper.monitor", "hydra.sweeper.direction"
FINAL = "final/"
OURS = "legoloop."
WITHOUT_DATA_SET = ("loss", "lr", "system", "train")
"""How tags of ours begin that are no metric of an evaluation."""


@dataclass(frozen=True)
class Objective:
    """The metrics that are optimised, each with its direction.

    Args:
        monitors: their tags.
        maximized: whether higher values are better, of each.
    """

    monitors: Sequence[str]
    maximized: Sequence[bool]

    @classmethod
    def of(cls, monitor: Any, direction: Any) -> Objective:
        """The objective that the settings name.

        Raises ConfigError for a metric whose direction is not known, and for wrong settings.

        >>> Objective.of("val/loss", None).directions
        ['minimize']
        """
        monitors = [monitor] if isinstance(monitor, str) else list(monitor or ())
        if not monitors or not all(isinstance(tag, str) and tag for tag in monitors):
            raise ConfigError(
                f"is {shown(monitor)}",
                key=MONITOR,
                remedy="give the metric to optimise, such as final/val/accuracy, or a list",
            )
        if len(set(monitors)) < len(monitors):
            raise ConfigError("names a metric twice", key=MONITOR, remedy="name each once")
        given = [direction] * len(monitors) if direction is None else direction
        modes = [given] if isinstance(given, str) else list(given)
        if len(modes) != len(monitors):
            raise ConfigError(
                f"has {len(modes)} for {len(monitors)} metrics",
                key=DIRECTION,
                remedy="give max or min for each, or null where it is known",
            )
        return cls(monitors, [_is_maximized(*pair) for pair in zip(monitors, modes, strict=True)])

    @property
    def directions(self) -> list[Literal["maximize", "minimize"]]:
        """As Optuna has them."""
        return ["maximize" if each else "minimize" for each in self.maximized]

    def values(self, record: Mapping[str, Any]) -> list[float]:
        """The values that a run recorded; nan for one that is missing or not finite."""
        final = record.get("final")
        found = [final.get(tag) if isinstance(final, dict) else None for tag in self.monitors]
        return [
            float(value) if isinstance(value, int | float) and isfinite(value) else nan
            for value in found
        ]


def check_reported(
    monitors: Sequence[str], key: str, host: TrainingHost, after_each_epoch: bool = False
) -> None:
    """Refuse metrics that a training will not report; what a user's source reports is not known.

    Args:
        monitors: the tags.
        key: names them in messages.
        host: the training, as it was built.
        after_each_epoch: whether they must be known after each epoch.

    Raises ConfigError for such a metric.
    """
    for tag in monitors:
        if (problem := _problem(tag, host, after_each_epoch)) is not None:
            what, remedy = problem
            raise ConfigError(f"is {tag}, {what}", key=key, remedy=remedy)


def _problem(tag: str, host: TrainingHost, after_each_epoch: bool) -> tuple[str, str] | None:
    plugins = host.plan.plugins.values()
    evaluated = {
        f"{each.prefix}{name}/": (each, name)
        for each in plugins
        if isinstance(each, AccumulatorMetrics)
        for name in each.acc_plugin.datasets
    }
    head = f"{tag.rpartition('/')[0]}/"
    if head in evaluated:
        metrics, name = evaluated[head]
        if not getattr(metrics.acc_plugin, "enabled", True):
            return "whose evaluation is switched off", "leave final_evaluation=false out"
        if after_each_epoch and metrics.acc_plugin.when != "epoch_end":
            return "which is known at the end of a run alone", "name one of each epoch"
        if after_each_epoch and not getattr(metrics.acc_plugin, "is_scheduled", True):
            return "which is not evaluated in the training", "give evaluate_every, or no pruner"
        known = _names(metrics, name)
        if known is None or tag.removeprefix(head) in known:
            return None
        return "which no run will report", did_you_mean(tag, [head + each for each in known])
    others = [each for each in plugins if isinstance(each, ScalarSource)]
    is_ours = all(type(each).__module__.startswith(OURS) for each in others)
    if not is_ours or tag.partition("/")[0] in WITHOUT_DATA_SET:
        return None
    tags = [
        prefix + each
        for prefix, (metrics, name) in evaluated.items()
        for each in _names(metrics, name) or ()
    ]
    return "which no run will report", did_you_mean(tag, tags)


def _names(metrics: AccumulatorMetrics, dataset: str) -> list[str] | None:
    """The metrics of a data set, from its first batch; None if they cannot be told so."""
    evaluation = metrics.acc_plugin
    if not isinstance(evaluation, Evaluator):
        return None
    try:
        return list(metrics.method(dict(evaluation.collect_first_batch(dataset))))
    except Exception:  # of the data, or of a metric that wants more samples: the run will tell
        return None


def _is_maximized(monitor: str, mode: Any) -> bool:
    try:
        return is_maximized(monitor, mode)
    except ArgumentError as error:
        if mode is None:
            raise ConfigError(
                f"is null, but the direction of {monitor} is not known",
                key=DIRECTION,
                remedy="; or ".join(["set it to min or max", *_meant(monitor)]),
            ) from None
        raise ConfigError(error.problem, key=DIRECTION, remedy=error.remedy) from None


def _meant(monitor: str) -> list[str]:
    """The metric of a known direction that was probably meant."""
    head, _, metric = monitor.rpartition("/")
    near = get_close_matches(metric, (*HIGHER, *LOWER), n=1)
    return [f"did you mean {'/'.join(filter(None, (head, each)))}?" for each in near]
