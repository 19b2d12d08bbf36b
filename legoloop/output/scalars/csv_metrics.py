"""Scalars as a table that any program reads."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from pathlib import Path

from legoloop.core.protocols import Scalars, ScalarSource, TrainingProgress
from legoloop.loop.plugin import State
from legoloop.output.scalars.scalar_file import ScalarFile


class CsvMetrics(ScalarFile):
    """Writes the scalars of the sources to a CSV file: step, epoch, then a column a scalar.

    Numbers are written so that they read back exactly. The file is whole whenever it is looked
    at; a scalar that comes later gets a column of its own, empty in the rows before it. Reports
    that follow each other quickly are put on the disk together, those up to a checkpoint and to
    the end of the run always. A resumed run takes out of the file what the attempt before it wrote
    beyond the saved state.

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
        self,
        path: str | Path,
        counter: TrainingProgress,
        sources: ScalarSource | Iterable[ScalarSource],
        every_steps: int | None = None,
    ) -> None:
        super().__init__(path, counter, sources, every_steps)
        self._rows: dict[int, dict[str, float]] = {}
        self._columns: dict[str, str] = {}  # the header, as a row
        self._lines: dict[int, str] = {}

    def train_start(self) -> None:
        """Put the file in the state of a resumed run."""
        if self._rows:
            self.write_file()

    def write(self, step: int, scalars: Scalars) -> None:
        """Complete the row of this step; the file has it when it is time to write."""
        row = self._rows.setdefault(step, {"step": step})
        row |= {"epoch": self.counter.epochs, **scalars}
        if row.keys() <= self._columns.keys():
            self._lines[step] = self._line(row)
        else:
            self._lay_out()
        self.reported()

    def lines(self) -> Iterator[str]:
        """The header, and a line a row."""
        yield self._line(self._columns)
        yield from self._lines.values()

    def state_dict(self) -> State:
        """The rows."""
        return {**super().state_dict(), "rows": self._rows}

    def load_state_dict(self, state: State) -> None:
        """Go on from these rows."""
        super().load_state_dict(state)
        self._rows = dict(state["rows"])
        self._lay_out()

    def _lay_out(self) -> None:
        self._columns = {tag: tag for row in self._rows.values() for tag in row}
        self._lines = {step: self._line(row) for step, row in self._rows.items()}

    def _line(self, row: Mapping[str, float | str]) -> str:
        line = StringIO()
        csv.writer(line, lineterminator="\n").writerow(row.get(tag, "") for tag in self._columns)
        return line.getvalue()
