"""Filters, sorts and selects runs, keys and metrics."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain
from math import isclose, isnan
from typing import Any, Protocol, TypeVar

from legoloop.core.errors import ArgumentError
from legoloop.core.metric_direction import higher_is_better
from legoloop.results.names import nearest
from legoloop.results.reading import NOT_BEGUN, Run, natural_key, parse_value
from legoloop.results.references import is_derived
from legoloop.results.sharing import Columns
from legoloop.state.run_record import LABELS

RECORD_KEYS = ("run", "status", "started", "duration", "cause", *LABELS)

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
        """The value of a key; None if there is none."""
        ...


Row = TypeVar("Row", bound=HasValues)


def varied_keys(runs: Sequence[Run]) -> list[str]:
    """The keys of the configuration whose values differ between the runs.

    A key that refers to others (``data.seed: ${seed}``) counts as these. Of other keys with the
    same values in every run, those that were set on the command line are kept, or else the one with
    the fewest dots. What is known of a run only from its command line (``model=mlp``) counts where
    it is a key of the others too.
    """
    equal_keys: dict[tuple[str, ...], list[str]] = {}
    keys_of_all = _keys_to_compare(runs)
    configs = Columns([run.config for run in runs])
    for key in keys_of_all:
        found = configs.column(key, _absent)
        if _are_the_same(found):
            continue
        values = tuple(map(repr, found))
        known = {
            value
            for run, value in zip(runs, values, strict=True)
            if run.has_full_config or key in run.config
        }
        if len(known) > 1 and not is_derived(key, runs):
            equal_keys.setdefault(values, []).append(key)
    overrides = {override for run in runs for override in run.record["overrides"]}
    overridden = {override.lstrip("+").partition("=")[0] for override in overrides}
    shown: set[str] = set()
    for keys in equal_keys.values():
        chosen = [key for key in keys if key in overridden]
        shown.update(chosen or [min(keys, key=lambda key: key.count("."))])
    return [key for key in keys_of_all if key in shown]


def _keys_to_compare(runs: Sequence[Run]) -> list[str]:
    """The keys of the configurations without choices from groups (``model=mlp``)."""
    keys = config_keys(runs)
    complete = set(config_keys(run for run in runs if run.has_full_config))
    above = {key.rsplit(".", cut)[0] for key in complete for cut in range(1, key.count(".") + 1)}
    return [key for key in keys if key in complete or key not in above]


def config_keys(runs: Iterable[Run]) -> list[str]:
    """Every key of every configuration, in the order of the files."""
    return list(dict.fromkeys(chain.from_iterable(run.config for run in runs)))


def tags(runs: Iterable[Run]) -> list[str]:
    """Every metric that one of the runs reported, in the order of the reports."""
    return list(dict.fromkeys(chain.from_iterable(run.final for run in runs)))


def default_metrics(runs: Sequence[Run]) -> list[str]:
    """The metrics that are shown unless others are named: those of ``val`` after each epoch.

    Without a data set ``val``, those of the first one other than ``train``; without evaluations,
    all metrics.
    """
    reported = tags(runs)
    evaluated = [tag for tag in reported if tag.count("/") == 1 and not tag.startswith("final/")]
    datasets = list(dict.fromkeys(tag.partition("/")[0] for tag in evaluated))
    others = [name for name in datasets if name != "train"] or datasets
    if not others:
        return reported
    chosen = "val" if "val" in others else others[0]
    return [tag for tag in evaluated if tag.startswith(f"{chosen}/")]


def matching_metrics(patterns: Iterable[str], runs: Sequence[Run]) -> list[str]:
    """The metrics that match one of these patterns, in which ``*`` stands for anything.

    Raises ArgumentError if a pattern matches none.
    """
    reported = tags(runs)
    chosen: dict[str, None] = {}
    for pattern in patterns:
        matching = [tag for tag in reported if fnmatchcase(tag, pattern)]
        if not matching:
            raise ArgumentError(
                f"--metric {pattern}: no run has such a metric; "
                f"{nearest(pattern, reported, reported)}"
            )
        chosen.update(dict.fromkeys(matching))
    return list(chosen)


@dataclass(frozen=True)
class Condition:
    """``KEY=VALUE``, or with the operator ``!=``, ``<``, ``<=``, ``>`` or ``>=``.

    Values are compared as numbers where they are numbers: ``1e-3`` equals 0.001. A list equals
    each of its entries: ``tags=baseline`` holds for a run with that tag.
    """

    key: str
    operator: str
    text: str

    @classmethod
    def parse(cls, text: str) -> Condition:
        """The condition written as text.

        Raises ArgumentError if it is none, or compares the order of something but numbers.

        >>> Condition.parse("optimizer.lr<=1e-3")
        Condition(key='optimizer.lr', operator='<=', text='1e-3')
        """
        match = _CONDITION.fullmatch(text)
        if match is None:
            raise ArgumentError(f"--where {text}: write KEY=VALUE, for instance status=FAILED")
        condition = cls(*match.groups())
        if condition.operator in _ORDER and not _is_number(parse_value(condition.text)):
            raise ArgumentError(f"--where {text}: '{condition.text}' is not a number")
        return condition

    def holds(self, run: Run) -> bool:
        """Whether the run fulfils the condition."""
        value, wanted = run.value(self.key), parse_value(self.text)
        if (
            isinstance(value, float)
            and _is_number(wanted)
            and isclose(value, wanted, rel_tol=1e-12)
        ):
            value = wanted  # range(0.1, 0.5, 0.2) gives 0.30000000000000004
        if self.operator in _ORDER:
            return _is_number(value) and _ORDER[self.operator](value, wanted)
        values = [value, *value] if isinstance(value, list) else [value]
        return any(self._is(each, wanted) for each in values) == (self.operator == "=")

    def _is(self, value: Any, wanted: Any) -> bool:
        is_equal = value == wanted and isinstance(value, bool) == isinstance(wanted, bool)
        return bool(is_equal or str(value) == self.text)


def last(count: int, runs: Sequence[Run]) -> list[Run]:
    """The runs that started last, in the given order."""
    begun = [run for run in runs if run.record["status"] != NOT_BEGUN]
    newest = sorted(begun, key=lambda run: run.started)[-count:] if count else []
    chosen = {run.directory for run in newest}
    return [run for run in runs if run.directory in chosen]


def ordered(rows: Iterable[Row], key: str, metrics: Iterable[str]) -> list[Row]:
    """Sorted by a key: the best first for a metric, else the smallest; ``-KEY`` reverses the order.

    Rows without a value, or with nan, come last either way.
    """
    key, is_reversed = key.removeprefix("-"), key.startswith("-")
    tag = key.removeprefix("best ")
    is_descending = bool(tag in set(metrics) and higher_is_better(tag)) != is_reversed
    rows = list(rows)
    with_value = [row for row in rows if not _is_missing(row.value(key))]
    with_value.sort(key=lambda row: _rank(row.value(key)), reverse=is_descending)
    return [*with_value, *(row for row in rows if _is_missing(row.value(key)))]


def check_key(option: str, key: str, runs: Sequence[Run]) -> None:
    """Raise ArgumentError unless the key is in a record, a configuration or among the metrics."""
    keys = [*RECORD_KEYS, *config_keys(runs), *_metric_columns(runs)]
    if key not in keys:
        raise _unknown(option, key, keys, [*RECORD_KEYS, *varied_keys(runs), *tags(runs)])


def check_group_key(option: str, key: str, runs: Sequence[Run]) -> None:
    """Raise ArgumentError unless the key is in a record or a configuration."""
    keys = [*RECORD_KEYS, *config_keys(runs)]
    if key not in keys:
        raise _unknown(option, key, keys, [*RECORD_KEYS, *varied_keys(runs)])


def check_sort_key_of_groups(option: str, key: str, by: Sequence[str], runs: Sequence[Run]) -> None:
    """Raise ArgumentError unless groups of these runs have a value for the key."""
    keys = [*by, "n", *_metric_columns(runs)]
    if key not in keys:
        raise _unknown(option, key, keys, [*by, "n", *tags(runs)])


def _metric_columns(runs: Sequence[Run]) -> list[str]:
    best = dict.fromkeys(f"best {tag}" for run in runs for tag in run.best)
    return [*tags(runs), *best]


def _unknown(option: str, key: str, keys: Iterable[str], otherwise: Iterable[str]) -> ArgumentError:
    return ArgumentError(f"{option} {key}: no run has such a key; {nearest(key, keys, otherwise)}")


def _are_the_same(values: Sequence[Any]) -> bool:
    """Whether all are equal, and written alike; False also for what takes longer to find out."""
    kind = type(values[0])
    is_simple = kind in (str, int, bool, type(None))  # 0.0 equals -0.0
    return (
        is_simple
        and {kind}.issuperset(map(type, values))
        and values.count(values[0]) == len(values)
    )


class _Absent:
    def __repr__(self) -> str:
        return "absent"


_absent = _Absent()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and isnan(value))


def _rank(value: Any) -> tuple[bool, float, list[str | int]]:
    if _is_number(value):
        return False, value, []
    return True, 0, natural_key(str(value))
