"""Scalars as a table that any program reads."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from legoloop.core.contracts import Counts, Scalars, Source
from legoloop.core.plugin import State
from legoloop.core.whole_files import whole_file
from legoloop.output.scalar_writer import ScalarWriter


class CsvMetrics(ScalarWriter):
    """Writes the scalars of the sources to a CSV file: step, epoch, then a column a scalar.

    Numbers are written so that they read back exactly. The file is whole whenever it is looked
    at; a scalar that comes later gets a column of its own, empty in the rows before it.

    >>> import tempfile
    >>> from legoloop.training.counter import Counter
    >>> class Third:
    ...     def scalars(self): return {"third": 1 / 3}
    >>> path = Path(tempfile.mkdtemp()) / "metrics.csv"
    >>> CsvMetrics(path, Counter(), Third()).epoch_end()
    >>> print(path.read_text().strip())
    step,epoch,third
    0,0,0.3333333333333333
    """

    def __init__(
        self, path: str | Path, counter: Counts, sources: Source | Iterable[Source]
    ) -> None:
        super().__init__(counter, sources)
        self.path = Path(path)
        self._rows: dict[int, dict[str, float]] = {}

    def write(self, step: int, scalars: Scalars) -> None:
        """Complete the row of this step."""
        row = self._rows.setdefault(step, {"step": step, "epoch": self.counter.epochs})
        row.update(scalars)
        columns = dict.fromkeys(tag for row in self._rows.values() for tag in row)
        with whole_file(self.path) as draft, draft.open("w", newline="") as file:
            table = csv.DictWriter(file, list(columns), lineterminator="\n")
            table.writeheader()
            table.writerows(self._rows.values())

    def state_dict(self) -> State:
        """The rows."""
        return {"rows": self._rows}

    def load_state_dict(self, state: State) -> None:
        """Go on from these rows."""
        self._rows = dict(state["rows"])
