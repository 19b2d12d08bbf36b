"""What a page shows, as JSON: the table, the curves and the details of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from legoloop.core.errors import DataError
from legoloop.core.record_files import parse_json, read_bytes
from legoloop.core.run_directory import METRICS, SWEEP_RECORD
from legoloop.results.choosing import default_metrics, tags
from legoloop.results.page.columns import Columns, columns_of
from legoloop.results.page.curves import NO_CURVES, Curves, read_curves
from legoloop.results.page.details import confusion_of, worst_errors_of
from legoloop.results.page.packing import packed_curves, packed_json
from legoloop.results.page.samples import packed_samples
from legoloop.results.reading import Run

BYTES, BYTES_PER_RUN, FEW = 148_000, 5_000, 24
"""A page of up to ``FEW`` runs has so many bytes, and so many more for each further run."""

BYTES_PER_POINT = 6.0
"""Of a noisy curve, packed, and its share of the means: a bit less."""

MIN_POINTS, MAX_POINTS = 24, 600
"""Of a curve, whatever the number of bytes; a screen shows no more."""

SAMPLES_SHARE = 0.15
"""The part of the bytes that the predicted classes may take."""

PICTURE_BYTES = 1_000_000
"""The pictures of all runs together; they come on top."""

FINAL = "final/"
"""Metrics of the end of a run, which have no curve."""


@dataclass(frozen=True)
class ShownRun:
    """A run, and what a page shows of it beside its row.

    Args:
        run: the run.
        curves: its curves, thinned out.
        confusion: the names of the classes and the counts.
        worst_errors: samples and picture.
        problems: what could not be read.
    """

    run: Run
    curves: Curves
    confusion: dict[str, Any] | None
    worst_errors: dict[str, Any] | None
    problems: list[str]


def page_bytes(runs: int) -> int:
    """How large the page of so many runs may become, without pictures.

    >>> page_bytes(24), page_bytes(1000)
    (148000, 5028000)
    """
    return BYTES + BYTES_PER_RUN * max(0, runs - FEW)


def points_per_curve(runs: Sequence[Run], free_bytes: int) -> int:
    """To how many points curves are thinned out, so that they fit."""
    curves = sum(not tag.startswith(FINAL) for run in runs for tag in run.final)
    return int(min(MAX_POINTS, max(MIN_POINTS, free_bytes / BYTES_PER_POINT / max(1, curves))))


def shown_run(run: Run, points: int) -> ShownRun:
    """Read what a page shows of a run; what cannot be read is a problem, and left out."""
    problems: list[str] = []

    def tried(read: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return read()
        except DataError as error:
            problems.append(f"{run.name}: {error}")
            return otherwise

    curves = tried(lambda: read_curves(run.directory / METRICS).thinned(points), NO_CURVES)
    confusion = tried(lambda: confusion_of(run), None)
    worst_errors = tried(lambda: worst_errors_of(run), None)
    return ShownRun(run, curves, confusion, worst_errors, problems)


def table_content(runs: Sequence[Run], folders: Sequence[Path]) -> dict[str, Any]:
    """The table, and what is known of the runs as a whole."""
    table = columns_of(runs)
    return {
        "title": ", ".join(folder.absolute().name for folder in folders),
        "folders": [str(folder.absolute()) for folder in folders],
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "sweep": sweep_content(folders),
        "metric": _key_of(default_metric(runs), table),
        "heads": table.heads,
        "rows": table.rows,
        "shared": table.shared,
        "directories": [str(run.directory.absolute()) for run in runs],
    }


def runs_content(shown: Sequence[ShownRun], points: int) -> dict[str, Any]:
    """The curves and details of these runs, to be shown beside their rows."""
    all_tags = dict.fromkeys(tag for each in shown for tag in each.curves.by_tag)
    curves = {
        tag: packed_curves([each.curves.by_tag.get(tag) for each in shown])
        for tag in all_tags
        if not tag.startswith(FINAL)
    }
    return {
        "runs": [each.run.name for each in shown],
        "epochs": [each.curves.epochs for each in shown],
        "curves": curves,
        "confusion": [each.confusion for each in shown],
        "worst_errors": _within(PICTURE_BYTES, shown),
        "problems": [problem for each in shown for problem in each.problems],
        "points": points,
        "longest": max((each.curves.rows for each in shown), default=0),
    }


def samples_content(runs: Sequence[Run]) -> dict[str, Any]:
    """The predicted classes of the runs."""
    samples, left_out = packed_samples(runs, int(page_bytes(len(runs)) * SAMPLES_SHARE))
    return {"samples": samples, "left_out": left_out}


def page_content(
    runs: Sequence[Run], folders: Sequence[Path], problems: Sequence[str], code_bytes: int
) -> dict[str, Any]:
    """All of a page.

    Args:
        runs: in the order of their names.
        folders: that were searched for them.
        problems: a sentence for each directory that could not be read.
        code_bytes: what the page has without any of this.
    """
    content = {**table_content(runs, folders), **samples_content(runs)}
    taken = code_bytes + len(packed_json(content))
    points = points_per_curve(runs, page_bytes(len(runs)) - taken)
    parts = runs_content([shown_run(run, points) for run in runs], points)
    return {**content, "parts": [parts], "problems": list(problems), "version": None}


def sweep_content(folders: Sequence[Path]) -> dict[str, Any] | None:
    """When a sweep began and how many jobs it has; None if the folder is not one of a sweep."""
    if len(folders) != 1:
        return None
    path = folders[0] / SWEEP_RECORD
    try:
        record = parse_json(read_bytes(path, 2**30))
        search = record.get("search")
        jobs = len(record["jobs"]) if search is None else int(search["n_trials"])
        return {"started": str(record["started"]), "jobs": jobs}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None


def default_metric(runs: Sequence[Run]) -> str | None:
    """The metric that a page begins with: the first that has a best value, of those of ``val``."""
    metrics = default_metrics(runs)
    with_direction = [tag for tag in metrics if any(tag in run.best for run in runs)]
    chosen = [*with_direction, *metrics, *tags(runs)]
    return chosen[0] if chosen else None


def _key_of(tag: str | None, table: Columns) -> str | None:
    """The key of the column of a metric."""
    metrics = [head for head in table.heads if head["about"] == "metric"]
    return next((head["key"] for head in metrics if head.get("tag", head["key"]) == tag), None)


def _within(max_bytes: int, shown: Sequence[ShownRun]) -> list[dict[str, Any] | None]:
    """The worst errors of each run; without pictures once those before it took all bytes."""
    kept: list[dict[str, Any] | None] = []
    for each in shown:
        errors = each.worst_errors
        if errors is not None:
            max_bytes -= len(errors["picture"])
            if max_bytes < 0:
                errors = {**errors, "picture": None}
        kept.append(errors)
    return kept
