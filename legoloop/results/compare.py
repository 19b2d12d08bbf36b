"""The differences between two runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.flatten import flatten_config
from legoloop.core.record_files import read_bytes
from legoloop.core.run_directory import GIT_DIFF
from legoloop.results.names import nearest
from legoloop.results.predictions import predicted_classes
from legoloop.results.reading import Run, read_runs
from legoloop.results.table import Table

CONFIGURATION = "configuration"
PREDICTED = "predicted class"

Row = tuple[str, str, Any, Any]
"""Category, name, and the values of both runs."""


@dataclass(frozen=True)
class Comparison:
    """The differences as a table, and notes about the predictions."""

    table: Table
    notes: list[str]

    def shortened(self, max_samples: int) -> Comparison:
        """With at most so many samples whose predicted class differs."""
        rows = list(self.table.rows)
        first = next((n for n, row in enumerate(rows) if row[0] == PREDICTED), len(rows))
        left_out = len(rows) - first - max_samples
        if left_out <= 0:
            return self
        note = f"{left_out} of them are not listed; --format csv lists all"
        kept = rows[: first + max_samples]
        return Comparison(Table(self.table.columns, kept), [*self.notes, note])


def compare(one: Run, other: Run) -> Comparison:
    """The differences in inputs, outcome, metrics and predictions."""
    changed, notes = _changed_predictions(one, other)
    names = [run.name if one.name != other.name else str(run.directory) for run in (one, other)]
    rows = [*input_differences(one, other), *_differing(_outcomes(one, other))]
    return Comparison(Table(["about", "what", *names], [*rows, *changed]), notes)


def input_differences(one: Run, other: Run) -> list[Row]:
    """The differences in configuration, code, data, versions and hardware."""
    return _differing(_inputs(one, other))


def chosen_run(name: str, runs: Mapping[str, Run]) -> Run:
    """The run of this name among ``runs``, or of this directory.

    Raises ArgumentError if there is neither.
    """
    if name in runs:
        return runs[name]
    if not Path(name).is_dir():
        raise ArgumentError(
            f"--compare {name}: there is no such run; {nearest(name, runs, list(runs)[:9])}"
        )
    found = read_runs(name)
    if len(found.runs) != 1 or found.runs[0].directory != Path(name):
        wrong = found.problems[0] if found.problems else "is not the directory of one run"
        raise ArgumentError(f"--compare {name}: {wrong}")
    return found.runs[0]


def _differing(rows: Iterator[Row]) -> list[Row]:
    return [row for row in rows if repr(row[2]) != repr(row[3])]


def _inputs(one: Run, other: Run) -> Iterator[Row]:
    yield from _values(CONFIGURATION, one.config, other.config)
    yield from _recorded("code", "git", one, other)
    diffs = [_git_diff(run) for run in (one, other)]
    if diffs[0] != diffs[1]:
        lines = [f"{len(text.splitlines())} lines" for text in diffs]
        yield "code", GIT_DIFF, lines[0], lines[1] + (", others" if lines[0] == lines[1] else "")
    if "data" in one.record and "data" in other.record:
        yield from _recorded("data", "data", one, other)
    yield from _recorded("versions", "versions", one, other)
    yield from _recorded("hardware", "hardware", one, other)


def _outcomes(one: Run, other: Run) -> Iterator[Row]:
    for what in ("status", "stop_reason", "cause"):
        yield "outcome", what, one.record.get(what), other.record.get(what)
    yield "outcome", "duration", one.duration, other.duration
    yield from _values("metrics", one.final, other.final)
    runs = (one, other)
    shown = {tag for run in runs for tag, best in run.best.items() if best != run.final.get(tag)}
    best = [{f"best {tag}": run.best[tag] for tag in run.best if tag in shown} for run in runs]
    yield from _values("metrics", *best)


def _recorded(about: str, key: str, one: Run, other: Run) -> Iterator[Row]:
    yield from _values(about, *(_mapping(run.record.get(key), key) for run in (one, other)))


def _mapping(value: Any, key: str) -> Mapping[str, Any]:
    """What a record says under a key; what is no mapping, as its only value."""
    if isinstance(value, Mapping):
        return value
    return {} if value is None else {key: value}


def _values(about: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Row]:
    one, other = dict(flatten_config(one)), dict(flatten_config(other))
    for key in dict.fromkeys([*one, *other]):
        yield about, key, one.get(key), other.get(key)


def _git_diff(run: Run) -> bytes:
    try:
        return read_bytes(run.directory / GIT_DIFF)
    except (OSError, ValueError):
        return b""


def _changed_predictions(one: Run, other: Run) -> tuple[list[Row], list[str]]:
    try:
        before, after = predicted_classes(one), predicted_classes(other)
    except DataError as error:
        return [], [f"predictions are not compared: {error}"]
    both = [sample for sample in before if sample in after]
    changed: list[Row] = [
        (PREDICTED, sample, before[sample], after[sample])
        for sample in both
        if before[sample] != after[sample]
    ]
    notes = [f"{len(changed)} of {len(both)} samples changed their predicted class"]
    for run, here, there in ((one, before, after), (other, after, before)):
        if alone := len(here.keys() - there.keys()):
            notes.append(f"samples that only {run.name} predicted: {alone}")
    return changed, notes
