"""Groups of runs, and the mean and standard deviation of their metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, hypot, inf, nan, sqrt
from typing import Any

from legoloop.results.reading import Run


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of ``n`` values; one value has no deviation.

    >>> Spread.of([1.0, 2.0, 3.0])
    Spread(mean=2.0, std=1.0, n=3)
    """

    mean: float
    std: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value."""
        n = len(values)
        mean = _mean(values)
        return cls(mean, _deviation(values, mean) if n > 1 else None, n)


def _mean(values: Sequence[float]) -> float:
    try:
        return fsum(values) / len(values)
    except OverflowError:  # their sum is more than a float holds
        return fsum(value / len(values) for value in values)
    except ValueError:  # inf and -inf
        return nan


def _deviation(values: Sequence[float], mean: float) -> float:
    try:
        return sqrt(fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    except OverflowError:
        return hypot(*(value - mean for value in values)) / sqrt(len(values) - 1)


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return inf if value > 0 else -inf


@dataclass(frozen=True)
class Group:
    """Runs with the same values for some keys; only completed ones count in ``n`` and the means."""

    values: Mapping[str, Any]
    runs: Sequence[Run]

    @property
    def completed(self) -> list[Run]:
        """The runs that were completed."""
        return [run for run in self.runs if run.is_completed]

    @property
    def n(self) -> int:
        """The number of completed runs."""
        return len(self.completed)

    @property
    def not_completed(self) -> int:
        """The number of runs that failed, were interrupted or are still running."""
        return len(self.runs) - self.n

    def spread(self, metric: str) -> Spread | None:
        """Of the metric over the completed runs that have it; None if there are none."""
        # A key of the configuration may have the name of a metric, and any value.
        found = (run.value(metric) for run in self.completed)
        values = [_as_float(value) for value in found if isinstance(value, int | float)]
        return Spread.of(values) if values else None

    def value(self, key: str) -> Any:
        """The value that the runs share for the key, or the mean of the metric."""
        if key in self.values:
            return self.values[key]
        if key == "n":
            return self.n
        spread = self.spread(key)
        return None if spread is None else spread.mean


def group_runs(runs: Sequence[Run], by: Sequence[str]) -> list[Group]:
    """The runs grouped by the values of these keys, in order of first occurrence."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(repr([run.value(key) for key in by]), []).append(run)
    return [Group({key: runs[0].value(key) for key in by}, runs) for runs in groups.values()]
