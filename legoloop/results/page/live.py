"""Runs that are watched while they go on: what a page shows of them, and what changed since."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from legoloop.core.errors import ArgumentError
from legoloop.core.run_directory import CONFIG, METRICS, PREDICTIONS, RUN_RECORD
from legoloop.results.page.content import (
    ShownRun,
    page_bytes,
    points_per_curve,
    runs_content,
    samples_content,
    shown_run,
    table_content,
)
from legoloop.results.reading import Run, read_run, read_runs
from legoloop.state.directory_lock import is_locked

FILES = (RUN_RECORD, CONFIG, METRICS, PREDICTIONS)
"""A run has changed if one of these has; the last one is read for all runs at once."""

MIN_SECONDS = 1.0
"""Folders are not searched more often."""

Stats = list[tuple[int, int, int] | None]


@dataclass
class Watched:
    """A run as it was read last, and the version of the page in which it came."""

    stats: Stats
    shown: ShownRun
    version: int


class LiveRuns:
    """The runs of some folders, of which those alone are read again that changed.

    Args:
        folders: that are searched for runs.

    Raises:
        ArgumentError: if one of the folders does not exist.

    >>> import tempfile
    >>> from legoloop.state.run_record import RunRecord
    >>> folder = Path(tempfile.mkdtemp())
    >>> live = LiveRuns([folder])
    >>> RunRecord.start(folder / "0", 0, ["seed=0"]).finish("COMPLETED", final={"loss": 0.5})
    >>> content = live.content(now=5.0)
    >>> [row[0] for row in content["rows"]]
    ['0']
    >>> live.changes(since=content["version"], now=10.0) == {"version": content["version"]}
    True
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = [Path(folder) for folder in folders]
        self._lock = Lock()
        self._watched: dict[Path, Watched] = {}
        self._stats: dict[Path, Stats] = {}
        self._table: dict[str, Any] = {}
        self._samples: dict[str, Any] = {}
        self._heads: Any = None
        self._predicted: Any = None
        # There is at most one version a second: those of an earlier board are all smaller.
        self._version = int(time.time())
        self._new_heads = self._new_samples = self._version
        self._looked_at = -MIN_SECONDS
        self._check_folders()

    def content(self, now: float | None = None) -> dict[str, Any]:
        """All of the page."""
        with self._lock:
            self._refresh(time.monotonic() if now is None else now)
            return self._since(-1)

    def changes(self, since: int, now: float | None = None) -> dict[str, Any]:
        """What is to be merged into the page of that version; only its number if nothing changed.

        Rows and curves are those of the runs that changed; all rows if columns or runs were added.
        """
        with self._lock:
            self._refresh(time.monotonic() if now is None else now)
            return {"version": self._version} if since == self._version else self._since(since)

    def _since(self, version: int) -> dict[str, Any]:
        changed = [each.shown for each in self._watched.values() if each.version > version]
        content = {**self._table, "version": self._version}
        if version >= self._new_heads:
            names = {shown.run.name for shown in changed}
            content["changed"] = [row for row in content["rows"] if row[0] in names]
            for name in ("heads", "rows", "shared", "directories"):
                del content[name]
        if version < self._new_samples:
            content |= self._samples
        content["parts"] = [runs_content(changed, self._points)] if changed else []
        return content

    def _refresh(self, now: float) -> None:
        if now - self._looked_at < MIN_SECONDS:
            return
        self._looked_at = now
        runs, problems = self._read()
        self._points = points_per_curve(runs, page_bytes(len(runs)))
        before, self._watched = self._watched, {run.directory: self._watch(run) for run in runs}
        has_changed = any(each.version > self._version for each in self._watched.values())
        is_same = self._watched.keys() == before.keys() and problems == self._table.get("problems")
        if has_changed or not is_same:
            self._version += 1
            self._tabulate(runs, problems)

    def _watch(self, run: Run) -> Watched:
        known = self._watched.get(run.directory)
        if known is not None and known.shown.run is run:
            return known
        stats = self._stats[run.directory]
        return Watched(stats, shown_run(run, self._points), self._version + 1)

    def _tabulate(self, runs: Sequence[Run], problems: Sequence[str]) -> None:
        self._table = {**table_content(runs, self.folders), "problems": problems}
        predicted = [(run.directory, self._stats[run.directory][-1]) for run in runs]
        if predicted != self._predicted:
            self._predicted, self._new_samples = predicted, self._version
            self._samples = samples_content(runs)
        heads = self._table["heads"], self._table["shared"], self._table["directories"]
        if heads != self._heads:
            self._heads, self._new_heads = heads, self._version

    def _read(self) -> tuple[list[Run], list[str]]:
        """The runs; those that have not changed are the same objects as before."""
        self._check_folders()
        try:
            found = read_runs(*self.folders, read=self._read_changed)
        except ArgumentError:  # no run has begun
            return [], []
        return found.runs, found.problems

    def _read_changed(self, directory: Path, name: str) -> Run:
        stats = self._stats[directory] = _stats(directory)
        known = self._watched.get(directory)
        if known is None or known.stats != stats or _has_died(known.shown.run):
            return read_run(directory, name)
        return known.shown.run

    def _check_folders(self) -> None:
        for folder in self.folders:
            if not folder.is_dir():
                raise ArgumentError(f"{folder}: there is no such folder")


def _stats(directory: Path) -> Stats:
    """What changes when a file of the run is written."""
    found: list[tuple[int, int, int] | None] = []
    for name in FILES:
        try:
            stat = os.stat(directory / name)
            found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        except OSError:
            found.append(None)
    return found


def _has_died(run: Run) -> bool:
    return run.record["status"] == "RUNNING" and not is_locked(run.directory, "run")
