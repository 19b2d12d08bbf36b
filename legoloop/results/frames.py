"""The same as tables of pandas."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legoloop.results.choosing import tags, varied
from legoloop.results.predictions import PREDICTS, class_numbers, tells_classes
from legoloop.results.reading import METRICS, Run, read_runs
from legoloop.results.table import table_of_runs

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Results:
    """What some runs left behind; ``read`` are the runs themselves, each read once."""

    read: Sequence[Run]

    def runs(self) -> pd.DataFrame:
        """A row a run, indexed by its name.

        The columns: what varied between the runs, ``status``, ``duration`` in seconds, the final
        value of each metric under its tag and the best one under ``best <tag>``, ``cause``.
        """
        import pandas as pd

        table = table_of_runs(self.read, tags(self.read))
        rows = [
            [float(cell) if isinstance(cell, float) else cell for cell in row] for row in table.rows
        ]
        return pd.DataFrame(rows, columns=list(table.columns)).set_index("run")

    def varied(self) -> list[str]:
        """The keys of the configuration whose values differ between the runs."""
        return varied(self.read)

    def curves(self) -> pd.DataFrame:
        """The ``metrics.csv`` of all runs, one below the other, after the name of the run."""
        return self._stacked(METRICS, lambda run, table: table)

    def predictions(self) -> pd.DataFrame:
        """The ``predicts.csv`` of all runs, one below the other, after the name of the run.

        ``predicted`` is the number of the predicted class, where the columns are logits.
        """
        return self._stacked(PREDICTS, _with_classes)

    def _stacked(self, name: str, completed: Callable[[Run, Any], Any]) -> pd.DataFrame:
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
    """The runs in the folders, at any depth, finished or not.

    Warns of each run directory that cannot be read. Raises ArgumentError for a folder that is not
    there or holds no run.

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
    """The columns of a CSV file, with exact numbers: those of pandas are, in some versions, not."""
    with path.open(newline="") as file:
        names, *rows = csv.reader(file)
    cells = zip(*rows, strict=True) if rows else [()] * len(names)
    return {name: _parsed(column) for name, column in zip(names, cells, strict=True)}


def _parsed(cells: Sequence[str]) -> list[Any]:
    """As integers, else as numbers of which some may be missing, else as they are."""
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


def _with_classes(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    columns = [str(name) for name in table.columns[1:]]
    if tells_classes(run, columns):
        table["predicted"] = class_numbers(table[columns].to_numpy())
    return table
