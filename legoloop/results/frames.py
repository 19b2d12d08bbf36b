"""Runs, curves and predictions as pandas tables."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legoloop.core.errors import DataError
from legoloop.core.record_files import csv_rows, first_line
from legoloop.core.run_directory import METRICS, PREDICTIONS
from legoloop.results.choosing import tags, varied_keys
from legoloop.results.predictions import (
    are_logits,
    class_numbers,
    read_predicted,
    read_target_classes,
    target_columns,
)
from legoloop.results.reading import Run, read_runs
from legoloop.results.table import table_of_runs

if TYPE_CHECKING:
    import pandas as pd

TARGET = "target"
"""The column of the right class."""


@dataclass(frozen=True)
class Results:
    """The results of some runs as pandas tables.

    Args:
        read: the runs, read once.
    """

    read: Sequence[Run]

    def runs(self) -> pd.DataFrame:
        """A row per run, indexed by its name.

        The columns: the keys that vary between the runs, ``status``, ``duration`` in seconds, for
        each metric the final value under its tag and the best one under ``best <tag>``, ``cause``.
        """
        import pandas as pd

        table = table_of_runs(self.read, tags(self.read))
        rows = [
            [float(cell) if isinstance(cell, float) else cell for cell in row] for row in table.rows
        ]
        return pd.DataFrame(rows, columns=list(table.columns)).set_index("run")

    def varied(self) -> list[str]:
        """The keys of the configuration whose values differ between the runs."""
        return varied_keys(self.read)

    def curves(self) -> pd.DataFrame:
        """The ``metrics.csv`` of all runs, concatenated; the column ``run`` has their names.

        Raises DataError for a file that cannot be read.
        """
        return self._concatenated(METRICS, lambda run, table: table)

    def predictions(self) -> pd.DataFrame:
        """The ``predicts.csv`` of all runs, concatenated; the column ``run`` has their names.

        ``target`` is what is right, from ``targets.csv`` where the run wrote that (``target0``, …
        for several values a sample). If the columns are logits, ``predicted`` is the number of the
        predicted class, and ``target`` that of the right one. Raises DataError for a file that
        cannot be read.
        """
        return self._concatenated(PREDICTIONS, _with_targets_and_classes)

    def _concatenated(self, name: str, completed: Callable[[Run, Any], Any]) -> pd.DataFrame:
        import pandas as pd

        tables = []
        for run in self.read:
            path = run.directory / name
            if path.is_file():
                table = completed(run, pd.DataFrame(_columns(path)))
                table.insert(0, "run", run.name)
                tables.append(table)
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["run"])


def load(*folders: str | Path) -> Results:
    """Read the runs in the folders, at any depth, finished or not.

    Warns about each run directory that cannot be read.

    Args:
        folders: run directories, or folders with run directories inside.

    Raises:
        ArgumentError: if a folder does not exist or contains no run.

    >>> import tempfile
    >>> from legoloop.state.run_record import RunRecord
    >>> folder = Path(tempfile.mkdtemp())
    >>> for job, accuracy in enumerate([0.5, 0.75]):
    ...     record = RunRecord.start(folder / str(job), seed=job, overrides=[f"seed={job}"])
    ...     record.finish("COMPLETED", final={"val/accuracy": accuracy})
    >>> load(folder).runs()["val/accuracy"].to_dict()
    {'0': 0.5, '1': 0.75}
    """
    found = read_runs(*folders)
    for problem in found.problems:
        warnings.warn(problem, stacklevel=2)
    return Results(found.runs)


def _columns(path: Path) -> dict[str, list[Any]]:
    """The columns of a CSV file, with exact numbers.

    Not by ``pandas.read_csv``: its default rounds before pandas 3.1, and from there on the argument
    ``float_precision="round_trip"`` is deprecated.
    """
    try:
        names, *rows = csv_rows(path)
        cells = zip(*rows, strict=True) if rows else [()] * len(names)
        return {name: _parsed(column) for name, column in zip(names, cells, strict=True)}
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({first_line(error)})") from None


def _parsed(cells: Sequence[str]) -> list[Any]:
    """As integers, else as floats with nan for empty cells, else as text."""
    if any("_" in cell for cell in cells):  # Python would read 1_2 as 12
        return list(cells)
    try:
        return [int(cell) for cell in cells]
    except ValueError:
        pass
    try:
        return [float(cell or "nan") for cell in cells]
    except ValueError:
        return list(cells)


def _with_targets_and_classes(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    columns = [str(name) for name in table.columns[1:]]
    classes = are_logits(run, columns)
    for name, values in _targets(run, classes).items():
        table[name] = values
    if classes:
        table["predicted"] = class_numbers(table[columns].to_numpy())
    return table


def _targets(run: Run, are_classes: bool) -> dict[str, list[Any]]:
    """The columns of ``targets.csv`` in the order of ``predicts.csv``; of logits, the classes."""
    found = target_columns(run)
    if found is None:
        return {}
    if are_classes:
        with suppress(DataError):  # of what is no class, such as several labels of one sample
            predicted = read_predicted(run)
            numbers = read_target_classes(run, predicted) or {}
            return {TARGET: [numbers.get(sample) for sample in predicted.samples]}
    names, cells = found
    samples = [row[0] for row in csv_rows(run.directory / PREDICTIONS)][1:]
    columns = zip(*(cells.get(sample, [""] * len(names)) for sample in samples), strict=True)
    return {name: _parsed(column) for name, column in zip(names, columns, strict=False)}
