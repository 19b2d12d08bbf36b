"""Finds and reads run directories."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from hashlib import sha256
from math import nan
from pathlib import Path
from typing import Any

from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.flatten import flatten_config
from legoloop.core.json_tree import decoded
from legoloop.core.metric_direction import is_best
from legoloop.core.record_files import check_tree, csv_rows, first_line, parse_yaml, read_bytes
from legoloop.core.run_directory import CONFIG, HYDRA, METRICS, RUN_RECORD, SWEEP_RECORD
from legoloop.results.names import nearest
from legoloop.results.sharing import Sharing
from legoloop.state.directory_lock import is_locked
from legoloop.state.run_record import LABELS, DamagedRecord, read_record

KILLED = "KILLED"
"""The status of a run whose process died without recording one."""


NOT_BEGUN = "not begun"
"""The status of a job of a sweep that has no run directory yet."""

ARCHIVE = "archive"
"""A folder of runs that were put aside: it is searched only if it is named itself."""


class Seconds(float):
    """A duration in seconds."""


class Tags(list[str]):
    """The tags of a run.

    >>> str(Tags(["baseline", "paper"]))
    'baseline, paper'
    """

    def __str__(self) -> str:
        return ", ".join(self)


@dataclass(frozen=True)
class Run:
    """A run, as read from its directory.

    Args:
        name: its directory, relative to the folder that was searched.
        directory: the run directory.
        record: the content of ``run.json``, without its metrics and without the blueprint.
        config: the configuration by dotted key, without ``run_dir`` and what the run is called.
        has_full_config: False if the run failed before it wrote ``config.yaml``; ``config`` then
            has only its overrides.
        final: the last value of each scalar by tag, nan if it is not finite.
        best: the best value of each scalar whose direction is known.
        written: the configuration by dotted key as it was composed, with its references such as
            ``${seed}``; empty if that is unknown.
    """

    name: str
    directory: Path
    record: Mapping[str, Any]
    config: Mapping[str, Any]
    has_full_config: bool
    final: Mapping[str, float]
    best: Mapping[str, float]
    written: Mapping[str, Any] = field(default_factory=dict)

    def value(self, key: str) -> Any:
        """A value of the record, the configuration or the metrics; None if there is none."""
        if key in self._facts:
            return self._facts[key]
        for values in (self.config, self.final):
            if key in values:
                return values[key]
        return self.best.get(key.removeprefix("best ")) if key.startswith("best ") else None

    @cached_property
    def _facts(self) -> Mapping[str, Any]:
        return {
            "run": self.name,
            "name": self.record.get("name"),
            "tags": Tags(self.record["tags"]) if self.record.get("tags") else None,
            "notes": self.record.get("notes"),
            "status": self.record["status"],
            "started": self.record.get("started"),
            "duration": self.duration,
            "cause": self.record.get("cause"),
        }

    @property
    def is_completed(self) -> bool:
        """Whether the run was completed."""
        return bool(self.record["status"] == "COMPLETED")

    @property
    def duration(self) -> Seconds | None:
        """The time of all its attempts; None if no end was recorded."""
        attempts = self.record.get("attempts") or [self.record]
        times = [(_timestamp(each, "started"), _timestamp(each, "ended")) for each in attempts]
        spans = [ended - started for started, ended in times if started and ended]
        return Seconds(round(sum(spans), 3)) if spans else None

    @property
    def started(self) -> float:
        """When it started, in seconds since 1970; 0 if that is unknown."""
        return _timestamp(self.record, "started")


@dataclass(frozen=True)
class Found:
    """The runs of some folders, and a message for each run directory that cannot be read."""

    runs: list[Run]
    problems: list[str]


def read_runs(
    *folders: str | Path,
    read: Callable[[Path, str], Run] | None = None,
    are_several: bool | None = None,
) -> Found:
    """The runs in the folders, at any depth, in natural order of their names (2 before 10).

    A run directory is one that has ``run.json``; it is not searched for others. Names are relative
    to the folder; with several folders they include it. Raises ArgumentError if a folder does not
    exist or contains no run. ``read`` takes the place of ``read_run``, for who keeps what has not
    changed; ``are_several`` says whether names include the folder, if that is not to be counted.

    >>> import tempfile
    >>> from legoloop.state.run_record import RunRecord
    >>> folder = Path(tempfile.mkdtemp())
    >>> for job, accuracy in enumerate([0.5, 0.75]):
    ...     record = RunRecord.start(folder / str(job), seed=job, overrides=[f"seed={job}"])
    ...     record.finish("COMPLETED", final={"val/accuracy": accuracy})
    >>> [(run.name, run.value("seed"), run.value("val/accuracy")) for run in read_runs(folder).runs]
    [('0', 0, 0.5), ('1', 1, 0.75)]
    """
    runs: dict[Path, Run] = {}
    problems: dict[Path, str] = {}
    read = read or partial(read_run, sharing=Sharing())
    are_several = len(folders) > 1 if are_several is None else are_several
    with _without_gc():
        for folder in folders:
            directories = list(run_directories(existing(Path(folder))))
            place = Path(folder).resolve()
            if not directories:
                archive = Path(folder) / ARCHIVE
                raise ArgumentError(
                    f"{folder}: contains no run; a run directory is one that has {RUN_RECORD}"
                    + (f"; {archive} is searched if you name it" if archive.is_dir() else "")
                )
            for directory in directories:
                # Below a folder no symbolic link was followed, so that it holds none twice.
                path = directory
                if len(folders) > 1:
                    path = place / directory.relative_to(folder)
                if path not in runs and path not in problems:
                    try:
                        name = name_of(directory, Path(folder), are_several)
                        runs[path] = read(directory, name)
                    except Unreadable as problem:
                        problems[path] = f"{problem}; skipped"
    return Found(list(runs.values()), list(problems.values()))


@contextmanager
def _without_gc() -> Iterator[None]:
    """What is read holds no cycles: to look for garbage in it takes a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_run(directory: Path, name: str, sharing: Sharing | None = None) -> Run:
    """Read a run directory.

    Reads ``run.json`` and ``config.yaml``, and ``metrics.csv`` only if the record has no final
    values yet.

    Args:
        directory: of the run.
        name: what it is called in lists.
        sharing: of the runs that are read with it, what is equal is in memory once.
    """
    sharing = sharing or Sharing()
    record = _record(directory)
    config = read_config(directory, record)
    final, best = _recorded(directory, record) if "final" in record else _last_and_best(directory)
    known = _from_overrides(record["overrides"]) if config is None else config
    if not known.keys().isdisjoint(LABELS):
        known = {key: value for key, value in known.items() if key not in LABELS}
    return Run(
        name,
        directory,
        _kept(record, sharing),
        sharing.row(known),
        config is not None,
        sharing.row(final),
        sharing.row(best),
        _written(record, sharing),
    )


def _kept(record: Mapping[str, Any], sharing: Sharing) -> Mapping[str, Any]:
    """What a run has of its record: the largest parts of it are there in another form."""
    kept = {
        key: value for key, value in record.items() if key not in ("blueprint", "final", "best")
    }
    if "attempts" in kept:
        kept["attempts"] = tuple(map(sharing.row, kept["attempts"]))
    return sharing.row(kept)


def _written(record: Mapping[str, Any], sharing: Sharing) -> Mapping[str, Any]:
    """The configuration by dotted key as it was composed; empty if the record does not tell."""
    blueprint = record.get("blueprint")
    tree = blueprint.get("unresolved") if isinstance(blueprint, dict) else None
    try:
        return sharing.flat(tree) if isinstance(tree, dict) else {}
    except (RecursionError, ValueError):  # too deep, or a number of too many digits
        return {}


def job_not_begun(directory: Path, name: str, overrides: Sequence[str]) -> Run:
    """A job of a sweep as a run of which nothing is known but its overrides."""
    record = {"status": NOT_BEGUN, "overrides": list(overrides)}
    return Run(name, directory, record, _from_overrides(overrides), False, {}, {})


def read_config(
    directory: Path, record: Mapping[str, Any] | None = None
) -> Mapping[str, Any] | None:
    """The configuration of a run by dotted key; None if the run failed before it was written.

    Args:
        directory: of the run.
        record: its ``run.json``: where that holds the values of the very ``config.yaml`` that is
            there, they are taken from it, since JSON is read twenty times as fast as YAML.

    Raises Unreadable, a DataError, if it cannot be read.
    """
    try:
        content = read_bytes(directory / CONFIG)
        tree = _recorded_config(content, record or {})
        if tree is None:
            tree = parse_yaml(content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Unreadable(directory, f"{CONFIG} cannot be read ({first_line(error)})") from None
    if not isinstance(tree, dict):
        raise Unreadable(directory, f"{CONFIG} is not a configuration")
    return flatten_run_config(tree)


def flatten_run_config(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """A configuration by dotted key, without ``run_dir``; paths inside that are relative to it.

    >>> flatten_run_config({"run_dir": "/a", "weights": {"path": "/a/b"}, "x": {"path": "/a"}})
    {'weights.path': '${run_dir}/b', 'x.path': '${run_dir}'}
    """
    run_dir = str(tree.get("run_dir"))
    found = dict(flatten_config({key: value for key, value in tree.items() if key != "run_dir"}))
    for key, value in found.items():
        is_path = isinstance(value, str) and value.startswith(run_dir)
        if is_path and f"{value}/".startswith(f"{run_dir}/"):
            found[key] = value.replace(run_dir, "${run_dir}", 1)
    return found


def natural_key(name: str) -> list[str | int]:
    """A sort key for natural order: numbers in a name are compared as numbers.

    >>> sorted(["job10", "job2"], key=natural_key)
    ['job2', 'job10']
    """
    pieces = re.split(r"(\d{1,4000})", name)  # Python reads no longer numbers
    return [int(piece) if position % 2 else piece for position, piece in enumerate(pieces)]


def parse_value(text: str) -> Any:
    """The value of a text on a command line: a number, else what YAML reads.

    >>> parse_value("1e-3"), parse_value("true"), parse_value("[8, 8]"), parse_value("cuda:1")
    (0.001, True, [8, 8], 'cuda:1')
    """
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    try:
        return parse_yaml(text)
    except ValueError:
        return text


class Unreadable(DataError):
    """A run directory that cannot be read.

    Args:
        directory (Path): of the run.
        problem (str): what is wrong with which of its files.
    """

    def __init__(self, directory: Path, problem: str) -> None:
        super().__init__(f"{directory}: {problem}")


def run_directories(folder: Path) -> Iterator[Path]:
    """Those with a record, and those that Hydra created and that have none."""
    for path, entries in _searched(folder):
        if RUN_RECORD in entries or entries.get(HYDRA):
            yield path


def sweep_directories(folder: Path) -> Iterator[Path]:
    """Those with the record of a sweep."""
    return (path for path, entries in _searched(folder) if SWEEP_RECORD in entries)


def _searched(folder: Path) -> Iterator[tuple[Path, Mapping[str, bool]]]:
    """The folders outside of run directories, in natural order, with what is in them."""
    waiting = [folder]  # no recursion: a folder may be deeper than Python's stack
    while waiting:
        path = waiting.pop()
        entries = _entries(path)
        yield path, entries
        if RUN_RECORD not in entries:
            folders = [n for n, is_one in entries.items() if is_one and not n.startswith(".")]
            waiting += [
                path / name
                for name in sorted(folders, key=natural_key, reverse=True)
                if name != ARCHIVE or (path / name / RUN_RECORD).exists()
            ]


def _entries(folder: Path) -> Mapping[str, bool]:
    """What is in a folder: whether it is a folder itself, by name; nothing if it cannot be read."""
    with suppress(OSError), os.scandir(folder) as entries:
        return {entry.name: _is_folder(entry) for entry in entries}
    return {}


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def existing(folder: Path) -> Path:
    """The folder; raises ArgumentError if there is none."""
    if os.path.isdir(folder):  # False for a name that is too long, too
        return folder
    parent = folder.parent
    others = (
        [str(path) for path in parent.iterdir() if path.is_dir()] if os.path.isdir(parent) else []
    )
    raise ArgumentError(
        f"{folder}: there is no such folder; {nearest(str(folder), others, others[:9])}"
    )


def _timestamp(record: Mapping[str, Any], key: str) -> float:
    try:
        return datetime.fromisoformat(record[key]).timestamp()
    except (KeyError, TypeError, ValueError, ArithmeticError, OSError):
        return 0.0


def name_of(directory: Path, folder: Path, is_one_of_several: bool) -> str:
    """The name of a run directory that was found in a folder."""
    relative = directory.relative_to(folder)
    if is_one_of_several:
        return str(directory)
    return str(relative) if relative.parts else directory.resolve().name


def _record(directory: Path) -> Mapping[str, Any]:
    try:
        record = read_record(directory)
    except FileNotFoundError:
        raise Unreadable(directory, f"has no {RUN_RECORD}") from None
    except DamagedRecord as damage:
        raise Unreadable(directory, f"{RUN_RECORD} {damage.problem}") from None
    record.setdefault("overrides", [])
    if record["status"] == "RUNNING" and not is_locked(directory, "run"):
        record["status"] = KILLED
    return record


def _recorded_config(content: bytes, record: Mapping[str, Any]) -> Any:
    """The values of a ``config.yaml`` as the record holds them; None if it holds other ones."""
    blueprint = record.get("blueprint")
    is_of_this_file = record.get("config_sha256") == sha256(content).hexdigest()
    if not is_of_this_file or not isinstance(blueprint, dict):
        return None
    tree = blueprint.get("tree")
    check_tree(tree)
    try:
        return decoded(tree)
    except TypeError as error:
        raise ValueError(first_line(error)) from None


def _recorded(
    directory: Path, record: Mapping[str, Any]
) -> tuple[Mapping[str, float], Mapping[str, float]]:
    try:
        final = {
            tag: nan if value is None else float(value) for tag, value in record["final"].items()
        }
        best = {tag: float(best["value"]) for tag, best in record.get("best", {}).items()}
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        raise Unreadable(
            directory, f"{RUN_RECORD} is damaged: final and best are not numbers by tag"
        ) from None
    return final, best


def _from_overrides(overrides: Iterable[str]) -> Mapping[str, Any]:
    pairs = (text.lstrip("+").partition("=") for text in overrides if not text.startswith("~"))
    return {key: parse_value(value) for key, _, value in pairs if not key.startswith("hydra")}


def _last_and_best(directory: Path) -> tuple[Mapping[str, float], Mapping[str, float]]:
    final: dict[str, float] = {}
    best: dict[str, float] = {}
    try:
        rows = csv_rows(directory / METRICS)
        columns = next(rows, [])
        for row in rows:
            if len(row) != len(columns):
                raise ValueError(f"a row has {len(row)} cells, the header {len(columns)}")
            for tag, text in zip(columns, row, strict=True):
                if text and tag not in ("step", "epoch"):
                    final[tag] = value = float(text)
                    if is_best(tag, value, best.get(tag)):
                        best[tag] = value
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise Unreadable(directory, f"{METRICS} cannot be read ({first_line(error)})") from None
    return final, best
