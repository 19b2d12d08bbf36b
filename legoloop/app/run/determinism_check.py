"""Whether the same run, made a second time, gives the same bits."""

from __future__ import annotations

import csv
import hashlib
import shutil
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

from legoloop.app.hydra_bridge.overrides import quote_override
from legoloop.core.errors import DataError
from legoloop.core.run_directory import METRICS, PREDICTIONS, WEIGHTS
from legoloop.loop.plugin import ShouldSave, State

RESULTS = (METRICS, WEIGHTS, PREDICTIONS)
"""The files in which equal runs are equal; the first difference is reported."""


class RerunAndCompare:
    """When a run has written its results, runs it again from its record, and compares them.

    ``name`` is that of this plugin in the configuration. The second run is a process of its own,
    in the folder ``again`` of the first; it begins anew if the first is resumed. Raises DataError
    if it does not end well, or if a result differs, naming the first difference.
    """

    supports_ranks = False
    trained_alone = "compares the run with one that is trained alone"

    def __init__(self, run_dir: str | Path, name: str = "determinism_check") -> None:
        self.run_dir = Path(run_dir)
        self.name = name

    def train_end(self) -> ShouldSave:
        """Once every plugin has written what it writes at the end."""
        return ShouldSave(self._compare)

    def _compare(self, state: State) -> None:
        again = self.run_dir / "again"
        print("the same run again …", flush=True)
        if again.exists():
            shutil.rmtree(again)
        self._run(again)
        if (difference := first_difference(self.run_dir, again)) is not None:
            raise DataError(f"the same run twice gives other bits: {difference}; see {again}")
        print(f"the same bits twice; weights {_digest(again / WEIGHTS)}", flush=True)

    def _run(self, again: Path) -> None:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "legoloop.run"),
                f"rerun={quote_override(str(self.run_dir.absolute()))}",
                f"hydra.run.dir={quote_override(str(again.absolute()))}",
                f"~plugins.{self.name}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode != 0:
            why = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise DataError(f"the second run did not complete: {why[-1]}")


def first_difference(one: Path, other: Path) -> str | None:
    """The first of the results in which two run directories differ; None if they are the same.

    >>> import tempfile
    >>> one, other = (Path(tempfile.mkdtemp()) for _ in range(2))
    >>> for folder, loss in ((one, "0.25"), (other, "0.5")):
    ...     _ = (folder / "metrics.csv").write_text("step,epoch,loss\\n45,1," + loss + "\\n")
    >>> first_difference(one, other)
    'metrics.csv: step 45, loss: 0.25 and 0.5'
    >>> first_difference(one, one) is None
    True
    """
    for name in RESULTS:
        if _digest(one / name) != _digest(other / name):
            return f"{name}: {_where(one / name, other / name)}"
    return None


def _where(one: Path, other: Path) -> str:
    """Where two files differ: the cell of a table, or the digests."""
    if one.suffix == ".csv" and one.exists() and other.exists():
        return _first_cell(one, other)
    return f"{_digest(one)} and {_digest(other)}"


def _first_cell(one: Path, other: Path) -> str:
    rows, others = (list(csv.reader(path.read_text().splitlines())) for path in (one, other))
    columns = rows[0]
    if len(rows) != len(others):
        return f"{len(rows) - 1} rows and {len(others) - 1}"
    for row, its in zip(rows, others, strict=True):
        for column, cell, its_cell in zip_longest(columns, row, its, fillvalue=""):
            if cell != its_cell:
                return f"{columns[0]} {row[0]}, {column}: {cell} and {its_cell}"
    return "other line ends"


def _digest(file: Path) -> str:
    if not file.exists():
        return "no such file"
    return f"SHA-256 {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}…"
