"""Which runs are shown, in which order, and what of them."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import isnan
from typing import Any, Protocol, TypeVar

from legoloop.core.errors import ArgumentError
from legoloop.core.metric_direction import higher_is_better
from legoloop.results.names import nearest
from legoloop.results.reading import Run, natural, scalar

FACTS = ("run", "status", "started", "duration", "cause")

_CONDITION = re.compile(r"(.+?)(<=|>=|!=|=|<|>)(.*)", re.DOTALL)
_ORDER: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class HasValues(Protocol):
    """A run, or a group of runs."""

    def value(self, key: str) -> Any:
        """What it says for a key; None if it says nothing."""
        ...


Row = TypeVar("Row", bound=HasValues)


def varied(runs: Sequence[Run]) -> list[str]:
    """The keys of the configuration whose values differ between the runs.

    Of keys that say the same in every run (``seed`` and ``data.seed``, which refers to it), those
    are left that were set on the command line, or else the one with the fewest dots.
    """
    alike: dict[tuple[str, ...], list[str]] = {}
    for key in config_keys(runs):
        values = tuple(repr(run.config.get(key, _absent)) for run in runs)
        told = {
            value
            for run, value in zip(runs, values, strict=True)
            if run.is_whole or key in run.config
        }
        if len(told) > 1:
            alike.setdefault(values, []).append(key)
    overrides = {override for run in runs for override in run.facts["overrides"]}
    overridden = {override.lstrip("+").partition("=")[0] for override in overrides}
    shown: set[str] = set()
    for keys in alike.values():
        chosen = [key for key in keys if key in overridden]
        shown.update(chosen or [min(keys, key=lambda key: key.count("."))])
    return [key for key in config_keys(runs) if key in shown]


def config_keys(runs: Iterable[Run]) -> list[str]:
    """Every key of every configuration, in the order of the files."""
    return list(dict.fromkeys(key for run in runs for key in run.config))


def tags(runs: Iterable[Run]) -> list[str]:
    """Every metric that a run measured, in the order of the reports."""
    return list(dict.fromkeys(tag for run in runs for tag in run.final))


def usual_metrics(runs: Sequence[Run]) -> list[str]:
    """A few metrics that say most: those after each epoch of ``val``, or of what comes nearest.

    That is the first data set but ``train``; where nothing is evaluated, all there is.
    """
    measured = tags(runs)
    evaluated = [tag for tag in measured if tag.count("/") == 1 and not tag.startswith("final/")]
    sets = list(dict.fromkeys(tag.partition("/")[0] for tag in evaluated))
    others = [name for name in sets if name != "train"] or sets
    if not others:
        return measured
    chosen = "val" if "val" in others else others[0]
    return [tag for tag in evaluated if tag.startswith(f"{chosen}/")]


def named_metrics(patterns: Iterable[str], runs: Sequence[Run]) -> list[str]:
    """The metrics of these names, in which ``*`` stands for anything.

    Raises ArgumentError if a pattern fits none.
    """
    measured = tags(runs)
    chosen: dict[str, None] = {}
    for pattern in patterns:
        fitting = [tag for tag in measured if fnmatchcase(tag, pattern)]
        if not fitting:
            raise ArgumentError(
                f"--metric {pattern}: no run has such a metric; "
                f"{nearest(pattern, measured, measured)}"
            )
        chosen.update(dict.fromkeys(fitting))
    return list(chosen)


@dataclass(frozen=True)
class Condition:
    """``KEY=VALUE``, or with ``!=``, ``<``, ``<=``, ``>``, ``>=`` in between.

    Values are compared as what they mean: ``1e-3`` is 0.001.
    """

    key: str
    sign: str
    text: str

    @classmethod
    def read(cls, text: str) -> Condition:
        """Raises ArgumentError for what is no condition, and for an order of no numbers.

        >>> Condition.read("optimizer.lr<=1e-3")
        Condition(key='optimizer.lr', sign='<=', text='1e-3')
        """
        parts = _CONDITION.fullmatch(text)
        if parts is None:
            raise ArgumentError(f"--where {text}: write KEY=VALUE, for instance status=FAILED")
        condition = cls(*parts.groups())
        if condition.sign in _ORDER and not _is_number(scalar(condition.text)):
            raise ArgumentError(f"--where {text}: '{condition.text}' is not a number")
        return condition

    def holds(self, run: Run) -> bool:
        """Whether it is so for this run."""
        value, meant = run.value(self.key), scalar(self.text)
        if self.sign in _ORDER:
            return _is_number(value) and _ORDER[self.sign](value, meant)
        is_meant = value == meant and isinstance(value, bool) == isinstance(meant, bool)
        return (is_meant or str(value) == self.text) == (self.sign == "=")


def last(count: int, runs: Sequence[Run]) -> list[Run]:
    """The runs that began last, in the order in which they came."""
    newest = sorted(runs, key=lambda run: run.started)[-count:] if count else []
    chosen = {run.directory for run in newest}
    return [run for run in runs if run.directory in chosen]


def ordered(rows: Iterable[Row], key: str, metrics: Iterable[str]) -> list[Row]:
    """The best first if the key is a metric, else the smallest; a ``-`` before it turns that round.

    What has no value, or one that is not a number, comes last either way.
    """
    key, is_turned = key.removeprefix("-"), key.startswith("-")
    tag = key.removeprefix("best ")
    is_descending = bool(tag in set(metrics) and higher_is_better(tag)) != is_turned
    rows = list(rows)
    valued = [row for row in rows if not _is_nothing(row.value(key))]
    valued.sort(key=lambda row: _rank(row.value(key)), reverse=is_descending)
    return [*valued, *(row for row in rows if _is_nothing(row.value(key)))]


def refuse_unknown(option: str, key: str, runs: Sequence[Run]) -> None:
    """Raise ArgumentError unless the key is a fact, a metric or in a configuration."""
    keys = [*FACTS, *config_keys(runs), *_measured(runs)]
    if key not in keys:
        raise _unknown(option, key, keys, [*FACTS, *varied(runs), *tags(runs)])


def refuse_unknown_setting(option: str, key: str, runs: Sequence[Run]) -> None:
    """Raise ArgumentError unless the key is a fact or in a configuration."""
    keys = [*FACTS, *config_keys(runs)]
    if key not in keys:
        raise _unknown(option, key, keys, [*FACTS, *varied(runs)])


def refuse_unknown_of_groups(option: str, key: str, by: Sequence[str], runs: Sequence[Run]) -> None:
    """Raise ArgumentError unless groups of these runs can be asked for the key."""
    keys = [*by, "n", *_measured(runs)]
    if key not in keys:
        raise _unknown(option, key, keys, [*by, "n", *tags(runs)])


def _measured(runs: Sequence[Run]) -> list[str]:
    best = dict.fromkeys(f"best {tag}" for run in runs for tag in run.best)
    return [*tags(runs), *best]


def _unknown(option: str, key: str, keys: Iterable[str], otherwise: Iterable[str]) -> ArgumentError:
    return ArgumentError(f"{option} {key}: no run has such a key; {nearest(key, keys, otherwise)}")


class _Absent:
    def __repr__(self) -> str:
        return "absent"


_absent = _Absent()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and isnan(value))


def _rank(value: Any) -> tuple[bool, float, list[str | int]]:
    if _is_number(value):
        return False, value, []
    return True, 0, natural(str(value))
