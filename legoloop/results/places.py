"""Where runs are looked for: what was named, or what lies in the current folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from legoloop.core.errors import ArgumentError
from legoloop.core.record_files import parse_json, read_bytes
from legoloop.core.run_directory import RUN_RECORD, SWEEP_RECORD
from legoloop.core.text import shorten
from legoloop.results.reading import (
    ARCHIVE,
    Found,
    Run,
    existing,
    job_not_begun,
    name_of,
    natural_key,
    read_runs,
    run_directories,
    sweep_directories,
)

USUAL = ("outputs", "multirun")
"""Where runs and sweeps write, unless they are told otherwise."""

MAX_BYTES = 2**30
"""Of the record of a sweep, which has a line a job."""


def usual_folders(here: Path = Path(), only_newest_sweep: bool = True) -> list[Path]:
    """The newest sweep below a folder; without one, or if all are asked for, all that holds runs.

    Raises ArgumentError if there is none.

    >>> usual_folders(Path("nowhere"))
    Traceback (most recent call last):
    legoloop.core.errors.ArgumentError: no DIR, and there are no runs in outputs/ or multirun/ \
here: give a run directory, or a folder with run directories inside
    """
    folders = [here / name for name in USUAL if (here / name).is_dir()]
    sweeps = [sweep for folder in folders for sweep in sweep_directories(folder)]
    if sweeps and only_newest_sweep:
        return [max(sweeps, key=_started)]
    used = [folder for folder in folders if _has_runs(folder) or jobs_not_begun(folder)]
    if not used:
        raise ArgumentError(
            "no DIR, and there are no runs in outputs/ or multirun/ here: give a run directory, or "
            "a folder with run directories inside"
        )
    return used


def told(folders: Sequence[Path]) -> str:
    """A sentence on what is listed where nothing was named."""
    is_sweep = any((folder / SWEEP_RECORD).exists() for folder in folders)
    shown = shorten(folders)
    return f"no DIR: the newest sweep, {shown}" if is_sweep else f"no DIR: all runs in {shown}"


def read_all(*folders: str | Path) -> Found:
    """The runs in the folders, and the jobs of their sweeps that have not begun.

    Raises ArgumentError if a folder does not exist, or holds neither.
    """
    waiting = {str(folder): jobs_not_begun(folder, len(folders) > 1) for folder in folders}
    holding = [each for each in folders if not waiting[str(each)] or _has_runs(Path(each))]
    found = read_runs(*holding, are_several=len(folders) > 1) if holding else Found([], [])
    if not any(waiting.values()):
        return found
    places = [Path(folder).resolve() for folder in folders]

    def place(run: Run) -> tuple[int, list[str | int]]:
        path = run.directory.resolve()
        own = (n for n, folder in enumerate(places) if path.is_relative_to(folder))
        return next(own, len(places)), natural_key(run.name)

    return Found(sorted([*found.runs, *_unique(waiting.values())], key=place), found.problems)


def jobs_not_begun(folder: str | Path, is_one_of_several: bool = False) -> list[Run]:
    """The jobs of the sweeps in a folder that have no record, and were not put aside.

    A record that cannot be read has none.
    """
    return [
        job_not_begun(directory, name_of(directory, Path(folder), is_one_of_several), overrides)
        for sweep in sweep_directories(existing(Path(folder)))
        for directory, overrides in _jobs(sweep)
        if not (directory / RUN_RECORD).exists()
        and not (directory.parent / ARCHIVE / directory.name / RUN_RECORD).exists()
    ]


def _jobs(sweep: Path) -> Iterator[tuple[Path, list[str]]]:
    record = _record(sweep)
    jobs = record.get("jobs")
    names = record.get("directories")
    if not isinstance(jobs, list):
        return
    if not isinstance(names, list) or len(names) != len(jobs):
        names = [str(number) for number in range(len(jobs))]
    for name, overrides in zip(names, jobs, strict=True):
        are_texts = isinstance(overrides, list) and all(isinstance(o, str) for o in overrides)
        if are_texts and isinstance(name, str) and _is_inside(name):
            yield sweep / name, overrides


def _is_inside(name: str) -> bool:
    path = Path(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _record(sweep: Path) -> dict[str, Any]:
    try:
        record = parse_json(read_bytes(sweep / SWEEP_RECORD, MAX_BYTES))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _started(sweep: Path) -> float:
    try:
        return datetime.fromisoformat(_record(sweep)["started"]).timestamp()
    except (KeyError, TypeError, ValueError, ArithmeticError, OSError):
        return 0.0


def _has_runs(folder: Path) -> bool:
    return next(run_directories(existing(folder)), None) is not None


def _unique(jobs: Any) -> list[Run]:
    return list({run.directory.resolve(): run for each in jobs for run in each}.values())
