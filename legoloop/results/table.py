"""Tables of runs and of groups, independent of the format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from legoloop.core.metric_direction import higher_is_better
from legoloop.results.choosing import varied_keys
from legoloop.results.grouping import Group
from legoloop.results.reading import Run


@dataclass(frozen=True)
class Table:
    """Column names, and rows with a cell for each column."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

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
        return Table(names, [[row[position] for position in positions] for row in self.rows])

    def without_repeats(self) -> Table:
        """Without the columns of best values that equal the final ones in every row."""
        return self.only(
            name
            for name in self.columns
            if not name.startswith("best ")
            or repr(self.column(name)) != repr(self.column(name.removeprefix("best ")))
        )


def table_of_runs(runs: Sequence[Run], metrics: Iterable[str]) -> Table:
    """A row per run: its name, the keys that vary, status, duration and metrics."""
    keys = varied_keys(runs)
    measured = [name for name in _final_and_best(metrics) if name not in keys]
    columns = ["run", *keys, "status", "duration", *measured]
    if any(run.value("cause") for run in runs):
        columns.append("cause")
    return Table(columns, [[run.value(name) for name in columns] for run in runs])


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
    return Table(columns, rows)


def _final_and_best(metrics: Iterable[str]) -> list[str]:
    names: list[str] = []
    for metric in metrics:
        names.append(metric)
        if higher_is_better(metric) is not None:
            names.append(f"best {metric}")
    return names
