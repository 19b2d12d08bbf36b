"""The differences between two runs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.flatten import flatten_config
from legoloop.core.record_files import read_bytes
from legoloop.core.run_directory import EVALUATION_METRICS, GIT_DIFF, RUN_RECORD
from legoloop.results.evaluations import read_evaluation
from legoloop.results.names import nearest
from legoloop.results.predictions import (
    predicted_classes,
    read_predicted,
    read_target_classes,
)
from legoloop.results.reading import Run, read_runs
from legoloop.results.table import Table
from legoloop.state.run_record import LABELS

CONFIGURATION = "configuration"
PREDICTED = "predicted class"
NEITHER = "neither"

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
        return Comparison(replace(self.table, rows=kept), [*self.notes, note])


def compare(one: Run, other: Run) -> Comparison:
    """The differences in inputs, outcome, metrics and predictions."""
    names = [run.name if one.name != other.name else str(run.directory) for run in (one, other)]
    rows = [*_differing(_labels(one, other)), *input_differences(one, other)]
    rows += _differing(_outcomes(one, other))
    changed, notes = _changed_predictions(one, other, names)
    columns = ["about", "what", *names]
    if any(len(row) > len(columns) for row in changed):
        columns += ["target", "right"]
    table = [(*row, *[None] * (len(columns) - len(row))) for row in (*rows, *changed)]
    return Comparison(Table(columns, table, identifying=len(columns)), notes)


def input_differences(one: Run, other: Run) -> list[Row]:
    """The differences in configuration, code, data, versions and hardware."""
    return _differing(_inputs(one, other))


def chosen_run(name: str, runs: Mapping[str, Run], option: str = "--compare") -> Run:
    """The run of this name among ``runs``, or the run or evaluation of this directory.

    Raises ArgumentError if there is neither.
    """
    if name in runs:
        return runs[name]
    if not os.path.isdir(name):
        raise ArgumentError(
            f"{option} {name}: there is no such run; {nearest(name, runs, list(runs)[:9])}"
        )
    if (Path(name) / EVALUATION_METRICS).is_file() and not (Path(name) / RUN_RECORD).exists():
        return read_evaluation(Path(name), name)
    found = read_runs(name)
    if len(found.runs) != 1 or found.runs[0].directory != Path(name):
        wrong = found.problems[0] if found.problems else "is not the directory of one run"
        raise ArgumentError(f"{option} {name}: {wrong}")
    return found.runs[0]


def _differing(rows: Iterator[Row]) -> list[Row]:
    return [row for row in rows if repr(row[2]) != repr(row[3])]


def _labels(one: Run, other: Run) -> Iterator[Row]:
    for key in LABELS:
        yield "label", key, one.value(key), other.value(key)


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


def _changed_predictions(
    one: Run, other: Run, names: Sequence[str]
) -> tuple[list[tuple[Any, ...]], list[str]]:
    """The rows of the samples whose class changed, with the target and who was right if known."""
    try:
        before, after = predicted_classes(one), predicted_classes(other)
    except DataError as error:
        return [], [f"predictions are not compared: {error}"]
    both = [sample for sample in before if sample in after]
    changed = [sample for sample in both if before[sample] != after[sample]]
    notes = [f"{len(changed)} of {len(both)} samples changed their predicted class"]
    rows: list[tuple[Any, ...]] = [(PREDICTED, s, before[s], after[s]) for s in changed]
    try:
        targets = {**_targets(other), **_targets(one)}
    except DataError as error:
        targets = {}
        notes.append(f"who was right is not known: {error}")
    if changed and targets:
        rows = [(*row, *_verdict(row, targets, names)) for row in rows]
        right = Counter(row[-1] for row in rows)
        told = [f"{who} was right about {right[who]}" for who in (*names, NEITHER) if right[who]]
        notes.append("; ".join(told).replace(f"{NEITHER} was", f"{NEITHER} of them was"))
    for run, here, there in ((one, before, after), (other, after, before)):
        if alone := len(here.keys() - there.keys()):
            notes.append(f"samples that only {run.name} predicted: {alone}")
    return rows, notes


def _targets(run: Run) -> Mapping[str, str]:
    """The name of the right class of each sample, as far as the run wrote it."""
    predicted = read_predicted(run)
    found = read_target_classes(run, predicted) or {}
    return {sample: predicted.name(number) for sample, number in found.items()}


def _verdict(
    row: tuple[Any, ...], targets: Mapping[str, str], names: Sequence[str]
) -> tuple[str | None, str | None]:
    """The right class of a sample, and the name of the run that predicted it."""
    _, sample, before, after = row
    target = targets.get(sample)
    if target is None:
        return None, None
    return target, {before: names[0], after: names[1]}.get(target, NEITHER)
