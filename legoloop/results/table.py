"""Tables of runs and of groups, independent of the format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from legoloop.core.metric_direction import higher_is_better
from legoloop.results.choosing import varied_keys
from legoloop.results.grouping import Group
from legoloop.results.reading import Run
from legoloop.state.run_record import LABELS

BEST = "best "
FINAL = "final/"


@dataclass(frozen=True)
class Table:
    """Column names, and rows with a cell for each column.

    Args:
        columns: their names.
        rows: a cell for each column.
        identifying: so many first columns say what a row is; a terminal always shows them.
        shared: what all rows have in common and no column has.
        expendable: columns in the order in which a narrow terminal loses them; after these it loses
            the last one first.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    identifying: int = 1
    shared: Mapping[str, Any] = field(default_factory=dict)
    expendable: Sequence[str] = ()

    def column(self, name: str) -> list[Any]:
        """The cells of a column."""
        position = self.columns.index(name)
        return [row[position] for row in self.rows]

    def only(self, names: Iterable[str]) -> Table:
        """These columns, in this order.

        >>> Table(["run", "seed"], [["a", 0], ["b", 1]]).only(["seed"]).rows
        [[0], [1]]
        """
        names = list(names)
        positions = [self.columns.index(name) for name in names]
        rows = [[row[position] for position in positions] for row in self.rows]
        return replace(self, columns=names, rows=rows)

    def without_repeats(self, prefixes: Iterable[str] = (BEST,)) -> Table:
        """Without the columns that equal, in every row, the one without such a prefix.

        >>> table = Table(["loss", "final/loss"], [[0.5, 0.5]])
        >>> table.without_repeats(["final/"]).columns
        ['loss']
        """
        return self.only(name for name in self.columns if not self._is_repeat(name, prefixes))

    def _is_repeat(self, name: str, prefixes: Iterable[str]) -> bool:
        plain = next((name.removeprefix(each) for each in prefixes if name.startswith(each)), None)
        return plain in self.columns and repr(self.column(name)) == repr(self.column(str(plain)))


def table_of_runs(runs: Sequence[Run], metrics: Iterable[str]) -> Table:
    """A row per run: what it is called, the keys that vary, status, duration and metrics."""
    keys = varied_keys(runs)
    measured = [name for name in _final_and_best(metrics) if name not in keys]
    given = {key for key in (*LABELS, "cause") if any(run.value(key) for run in runs)}
    labels = [key for key in ("name", "tags") if key in given]
    texts = [key for key in ("notes", "cause") if key in given]
    columns = ["run", *labels, *keys, "status", "duration", *measured, *texts]
    return Table(
        columns,
        [[run.value(name) for name in columns] for run in runs],
        shared=shared_overrides(runs),
        expendable=_expendable(keys, measured),
    )


def shared_overrides(runs: Sequence[Run]) -> dict[str, str]:
    """What all of several runs were given on the command line, without what Hydra was told."""
    if len(runs) < 2:
        return {}
    given = [
        {key: value for key, found, value in map(_parted, run.record["overrides"]) if found}
        for run in runs
    ]
    first, *others = given
    return {
        key: value
        for key, value in first.items()
        if not key.startswith("hydra.") and all(other.get(key) == value for other in others)
    }


def _parted(override: str) -> tuple[str, str, str]:
    return override.lstrip("+").partition("=")


def _expendable(keys: Sequence[str], measured: Sequence[str]) -> list[str]:
    """What varied and the first metric stay longest."""
    best = [name for name in measured if name.startswith(BEST)]
    final = [name for name in measured if name not in best]
    return ["notes", *reversed(best), *reversed(final[1:]), "tags", "duration", *reversed(keys)]


def table_of_groups(groups: Sequence[Group], by: Sequence[str], metrics: Iterable[str]) -> Table:
    """A row per group: its values of the keys, the number of runs, the spread of the metrics."""
    measured = _final_and_best(metrics)
    columns = [*by, "n", "not completed", *measured]
    rows = [
        [
            *group.values.values(),
            group.n,
            group.not_completed,
            *(group.spread(name) for name in measured),
        ]
        for group in groups
    ]
    return Table(columns, rows, identifying=len(by))


def _final_and_best(metrics: Iterable[str]) -> list[str]:
    names: list[str] = []
    for metric in metrics:
        names.append(metric)
        if higher_is_better(metric) is not None:
            names.append(f"{BEST}{metric}")
    return names
