"""Scalars in a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from pathlib import Path

from legoloop.core.growing_state import as_text, from_text
from legoloop.core.protocols import Scalars, ScalarSource, TrainingProgress
from legoloop.loop.plugin import State
from legoloop.output.scalars.scalar_file import ScalarFile


class CsvMetrics(ScalarFile):
    """Writes scalars to a CSV file: the columns step and epoch, then one for each scalar.

    Numbers read back exactly. There is one row for each step; a scalar that is first reported later
    gets a new column, empty in the rows before. The file is replaced atomically, at most 1% of
    the time is spent on it, and at a checkpoint and at the end it is complete. A resumed run drops
    rows that were written after the checkpoint.

    Args:
        path: the file; missing folders are created.
        counter: tells step and epoch.
        sources: one or several plugins with ``scalars()``.
        every_steps: also write after every so many steps; None: only at the end of epochs.

    Raises:
        ArgumentError: for a source without ``scalars()``, or ``every_steps`` below 1.
        DataError: for a scalar named ``step`` or ``epoch``, two of the same tag, or a file that
            cannot be written.

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

    def write(self, step: int, scalars: Scalars) -> None:
        """Complete the row of this step."""
        row = self._rows.setdefault(step, {"step": step})
        row |= {"epoch": self.counter.epochs, **scalars}
        if row.keys() <= self._columns.keys():
            self._lines[step] = self._line(row)
        else:
            self._lay_out()
        self.mark_dirty()

    def lines(self) -> Iterator[str]:
        """The header and the rows."""
        if self._lines:
            yield self._line(self._columns)
            yield from self._lines.values()

    def state_dict(self) -> State:
        return {**super().state_dict(), "rows": as_text([*self._rows.items()])}

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        self._rows = dict(from_text(state["rows"]))
        self._lay_out()

    def _lay_out(self) -> None:
        self._columns = {tag: tag for row in self._rows.values() for tag in row}
        self._lines = {step: self._line(row) for step, row in self._rows.items()}

    def _line(self, row: Mapping[str, float | str]) -> str:
        line = StringIO()
        csv.writer(line, lineterminator="\n").writerow(row.get(tag, "") for tag in self._columns)
        return line.getvalue()
