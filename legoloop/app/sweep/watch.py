"""How far the jobs of a sweep are, as their directories tell, whatever carries them out."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from legoloop.app.sweep.job import Job
from legoloop.app.sweep.job_output import last_error
from legoloop.core.metric_direction import higher_is_better, is_best
from legoloop.core.record_files import open_regular
from legoloop.core.run_directory import METRICS, OUTPUT, RUN_RECORD
from legoloop.state.run_record import read_record

MOST_OF_A_TABLE = 2**16
"""Bytes at the beginning and at the end of ``metrics.csv`` that are read."""

State = Literal["waiting", "running", "completed", "pruned", "failed", "interrupted"]
_STATES: Mapping[Any, State] = {
    "RUNNING": "running",
    "COMPLETED": "completed",
    "PRUNED": "pruned",
    "FAILED": "failed",
    "INTERRUPTED": "interrupted",
}
Stat = tuple[int, int, int] | None


@dataclass
class WatchedJob:
    """One job of a sweep as far as its directory tells; only what has changed is read.

    Args:
        job: of the sweep.
        label: what it differs in from the others.
        metric: the tag of the metric that is shown; None: the first that is reported.
    """

    job: Job
    label: str
    metric: str | None = None
    state: State = "waiting"
    epoch: int = 0
    value: float | None = None
    best: float | None = None
    cause: str | None = None
    began: float = 0.0
    seconds: float | None = None
    _record: Stat = field(default=None, repr=False)
    _table: Stat = field(default=None, repr=False)
    _output: Stat = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.job.has_completed:
            self._read_record()
        # What an earlier attempt left says nothing of this one.
        self._record = _stat(self.job.directory / RUN_RECORD)
        self._table = _stat(self.job.directory / METRICS)
        self._output = _stat(self.job.directory / OUTPUT)

    @property
    def number(self) -> int:
        """Its place in the sweep."""
        return self.job.number

    @property
    def num_epochs(self) -> int:
        """How many epochs it is to train."""
        return self.job.blueprint.settings.num_epochs

    @property
    def fraction(self) -> float:
        """How much of it is done."""
        if self.is_done:
            return 1.0
        return min(1.0, self.epoch / self.num_epochs) if self.num_epochs else 0.0

    @property
    def is_done(self) -> bool:
        """Whether it has nothing left to do."""
        return self.state in ("completed", "pruned")

    @property
    def is_over(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.state not in ("waiting", "running")

    def look(self) -> None:
        """Read what has changed in its directory."""
        if self.is_done:
            return
        record = _stat(self.job.directory / RUN_RECORD)
        if record != self._record:
            self._record = record
            self._read_record()
        if self.state == "running":
            table = _stat(self.job.directory / METRICS)
            if table != self._table:
                self._table = table
                self._read_table()

    def did_not_begin(self) -> bool:
        """Whether it was launched and told of an error, which is its cause, but recorded nothing.

        Such a job leaves its directory as it was, which is another's.
        """
        output = self.job.directory / OUTPUT
        if self.state != "waiting" or _stat(output) == self._output:
            return False
        self.cause = last_error(output)
        if self.cause is not None:
            self.state = "failed"
        return self.cause is not None

    def _read_record(self) -> None:
        try:
            facts = read_record(self.job.directory)
        except (OSError, ValueError):
            return
        state = _STATES.get(facts["status"])
        if state is None:
            return
        if state == "running" and self.state != "running":
            self.began = time.monotonic()
        self.state = state
        self.seconds = _seconds_of_the_last_attempt(facts)
        cause = facts.get("cause")
        self.cause = str(cause) if cause is not None else None
        final, best = facts.get("final"), facts.get("best")
        if isinstance(final, dict):
            self._take(final)
        if isinstance(best, dict) and isinstance(of_metric := best.get(self.metric), dict):
            self._take_best(of_metric.get("value"))

    def _read_table(self) -> None:
        for row in _last_rows(self.job.directory / METRICS):
            if row.get("epoch", "").isdecimal():
                self.epoch = int(row["epoch"])
            self._take({tag: _number(text) for tag, text in row.items() if text})

    def _take(self, scalars: Mapping[str, Any]) -> None:
        if self.metric is None:
            self.metric = metric_of_interest(scalars)
        value = scalars.get(self.metric) if self.metric is not None else None
        if isinstance(value, float | int) and isfinite(value):
            self.value = float(value)
            self._take_best(value)

    def _take_best(self, value: Any) -> None:
        if not isinstance(value, float | int) or self.metric is None:
            return
        if is_best(self.metric, value, self.best):
            self.best = float(value)


def watched(jobs: Sequence[Job]) -> list[WatchedJob]:
    """The jobs, each with what it differs in from the others and the metric that it monitors."""
    labels = labels_of([job.training_overrides for job in jobs])
    return [
        WatchedJob(job, label, monitored(job.blueprint.tree))
        for job, label in zip(jobs, labels, strict=True)
    ]


def labels_of(jobs: Sequence[Sequence[str]]) -> list[str]:
    """What each job differs in from the others, from their overrides.

    A key is named by its last word, as long as that is no other's.

    >>> labels_of([["optimizer.lr=0.1", "seed=0"], ["optimizer.lr=0.2", "seed=0"]])
    ['lr 0.1', 'lr 0.2']
    """
    pairs = [dict(text.lstrip("+~").partition("=")[::2] for text in job) for job in jobs]
    keys = list(dict.fromkeys(key for job in pairs for key in job))
    varied = [key for key in keys if len({job.get(key) for job in pairs}) > 1]
    names = short_names(varied)
    return [", ".join(f"{names[key]} {job[key]}" for key in varied if key in job) for job in pairs]


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Each key by its last word, as long as that is no other's.

    >>> short_names(["optimizer.lr", "model.hidden"])
    {'optimizer.lr': 'lr', 'model.hidden': 'hidden'}
    """
    last = [key.rpartition(".")[2] for key in keys]
    return {
        key: name if last.count(name) == 1 else key for key, name in zip(keys, last, strict=True)
    }


def monitored(tree: Mapping[str, Any]) -> str | None:
    """The metric that a plugin of the configuration monitors; None if none does.

    >>> monitored({"plugins": {"early_stopping": {"metric": "val/loss"}}})
    'val/loss'
    """
    plugins = tree.get("plugins")
    nodes = plugins.values() if isinstance(plugins, Mapping) else ()
    for node in nodes:
        metric = node.get("metric") if isinstance(node, Mapping) else None
        if isinstance(metric, str) and higher_is_better(metric) is not None:
            return metric
    return None


def metric_of_interest(tags: Iterable[str]) -> str | None:
    """The metric by which the jobs are compared, if none is monitored.

    The first one of ``val``, else of another data set than ``train``, of which it is known whether
    a higher value is better.

    >>> metric_of_interest(["loss", "train/f1", "val/accuracy"])
    'val/accuracy'
    """
    known = [tag for tag in tags if tag.count("/") == 1 and higher_is_better(tag) is not None]
    others = [tag for tag in known if not tag.startswith(("train/", "final/", "loss/"))]
    return next((tag for tag in others if tag.startswith("val/")), next(iter(others), None))


def _seconds_of_the_last_attempt(facts: Mapping[str, Any]) -> float | None:
    try:
        attempt = facts["attempts"][-1]
        began, ended = (datetime.fromisoformat(attempt[key]) for key in ("started", "ended"))
        return (ended - began).total_seconds()
    except (KeyError, IndexError, TypeError, ValueError):
        return None


def _last_rows(table: Path) -> list[dict[str, str]]:
    """The last rows of a table by column; nothing of one that cannot be read."""
    try:
        with open_regular(table) as file:
            header = file.readline(MOST_OF_A_TABLE)
            size = file.seek(0, os.SEEK_END)
            start = max(len(header), size - MOST_OF_A_TABLE)
            file.seek(start)
            end = file.read(MOST_OF_A_TABLE)
        columns, *_ = csv.reader([header.decode()])
        lines = end.decode(errors="replace").splitlines()
        rows = csv.reader(lines if start == len(header) else lines[1:])
        return [dict(zip(columns, row, strict=True)) for row in rows if len(row) == len(columns)]
    except (OSError, ValueError, csv.Error):
        return []


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _stat(file: Path) -> Stat:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
