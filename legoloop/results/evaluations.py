"""What ``legoloop-evaluate`` measured of runs, read from their ``evaluations`` folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from math import nan
from pathlib import Path

from legoloop.core.record_files import check_tree, first_line, parse_json, read_bytes
from legoloop.core.run_directory import EVALUATION_METRICS, EVALUATIONS
from legoloop.results.reading import Found, Run, Unreadable, natural_key, read_config
from legoloop.state.run_record import LABELS

EVALUATED = "EVALUATED"
"""The status of an evaluation."""


def with_evaluations(runs: Iterable[Run]) -> Found:
    """Each run, and below it its evaluations: their configuration and their metrics."""
    listed: list[Run] = []
    problems: list[str] = []
    for run in runs:
        listed.append(run)
        for folder in _evaluation_folders(run.directory):
            try:
                listed.append(read_evaluation(folder, f"{run.name}/{EVALUATIONS}/{folder.name}"))
            except Unreadable as problem:
                problems.append(f"{problem}; skipped")
    return Found(listed, problems)


def read_evaluation(folder: Path, name: str) -> Run:
    """An evaluation, as if it were a run. Raises Unreadable, a DataError."""
    try:
        found = parse_json(read_bytes(folder / EVALUATION_METRICS))
        check_tree(found)
        final = {tag: nan if value is None else float(value) for tag, value in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise Unreadable(
            folder, f"{EVALUATION_METRICS} cannot be read ({first_line(error)})"
        ) from None
    config = read_config(folder) or {}
    no_overrides: list[str] = []
    record = {"status": EVALUATED, "overrides": no_overrides, "started": _started(folder.name)}
    own = {key: value for key, value in config.items() if key not in LABELS}
    return Run(name, folder, record, own, bool(config), final, {})


def _evaluation_folders(directory: Path) -> Iterator[Path]:
    folder = directory / EVALUATIONS
    if folder.is_dir() and not folder.is_symlink():
        for path in sorted(folder.iterdir(), key=lambda path: natural_key(path.name)):
            if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
                yield path


def _started(name: str) -> str | None:
    """When it began, which is its name, unless somebody gave it another."""
    try:
        return datetime.strptime(name, "%Y-%m-%d_%H-%M-%S-%f").astimezone().isoformat()
    except ValueError:
        return None
