"""Run directories, found and read: what each run was, how it ended and what it measured."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from math import nan
from pathlib import Path
from typing import Any

import yaml

from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.metric_direction import is_best
from legoloop.core.run_directory import RUN_RECORD
from legoloop.results.names import nearest
from legoloop.state.directory_lock import is_locked
from legoloop.state.run_record import read_record

CONFIG = "config.yaml"
METRICS = "metrics.csv"
KILLED = "KILLED"
"""The status of a run whose process is gone and wrote no other."""

# The compiled reader takes a millisecond for a configuration, the other one ten.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Seconds(float):
    """A duration."""


@dataclass(frozen=True)
class Run:
    """A run as its directory tells it.

    ``facts`` is ``run.json``; ``config`` the configuration by dotted key, without ``run_dir``, of
    which a run that failed too early tells only its overrides (``is_whole`` is False then);
    ``final`` is the last value of each scalar by tag, nan for what is not finite; ``best`` the
    best one of those of which it is known what is better.
    """

    name: str
    directory: Path
    facts: Mapping[str, Any]
    config: Mapping[str, Any]
    is_whole: bool
    final: Mapping[str, float]
    best: Mapping[str, float]

    @cached_property
    def columns(self) -> Mapping[str, Any]:
        """All that can be asked of a run, by the name it is asked with."""
        return {
            **{f"best {tag}": value for tag, value in self.best.items()},
            **self.final,
            **self.config,
            "run": self.name,
            "status": self.facts["status"],
            "started": self.facts.get("started"),
            "duration": self.duration,
            "cause": self.facts.get("cause"),
        }

    def value(self, key: str) -> Any:
        """A fact, a value of the configuration or a metric; None if the run has no such thing."""
        return self.columns.get(key)

    @property
    def is_completed(self) -> bool:
        """Whether it went on to its end."""
        return bool(self.facts["status"] == "COMPLETED")

    @property
    def duration(self) -> Seconds | None:
        """From its start to its end, breaks left out; None if nobody wrote down when it ended."""
        attempts = self.facts.get("attempts") or [self.facts]
        times = [(_moment(each, "started"), _moment(each, "ended")) for each in attempts]
        spans = [ended - started for started, ended in times if started and ended]
        return Seconds(round(sum(spans), 3)) if spans else None

    @property
    def started(self) -> float:
        """When it began, in seconds since 1970; 0 if that is not known."""
        return _moment(self.facts, "started")


@dataclass(frozen=True)
class Found:
    """The runs of some folders, and a line for each thing there that cannot be read."""

    runs: list[Run]
    problems: list[str]


def read_runs(*folders: str | Path) -> Found:
    """The runs in the folders, at any depth, in the order of their names (2 before 10).

    A run directory is one that has ``run.json``; it is not searched for others. Names are relative
    to the folder, and begin with it where there are several. Raises ArgumentError for a folder
    that is not there or holds no run.

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
    for folder in folders:
        directories = list(_run_directories(_existing(Path(folder))))
        if not directories:
            raise ArgumentError(
                f"{folder}: holds no run; a run directory is one that has {RUN_RECORD}"
            )
        for directory in directories:
            place = directory.resolve()
            if place not in runs and place not in problems:
                try:
                    name = _name(directory, Path(folder), len(folders) > 1)
                    runs[place] = read_run(directory, name)
                except Unreadable as problem:
                    problems[place] = f"{directory}: {problem}; left out"
    return Found(list(runs.values()), list(problems.values()))


def read_run(directory: Path, name: str) -> Run:
    """The run of a run directory.

    Reads ``run.json`` and ``config.yaml``, and ``metrics.csv`` only if the run has not written
    its final values down yet.
    """
    facts = _facts(directory)
    config = read_config(directory)
    final, best = _written_down(facts) if "final" in facts else _last_and_best(directory / METRICS)
    told = _told_by_overrides(facts["overrides"]) if config is None else config
    return Run(name, directory, facts, told, config is not None, final, best)


def read_config(directory: Path) -> Mapping[str, Any] | None:
    """The configuration of a run by dotted key; None if it did not get so far as to write it.

    Raises Unreadable, a DataError, if it cannot be read.
    """
    try:
        tree = yaml.load((directory / CONFIG).read_text(), _Loader)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, yaml.YAMLError) as error:
        first_line = str(error).partition("\n")[0]
        raise Unreadable(f"{CONFIG} cannot be read ({first_line})") from None
    if not isinstance(tree, dict):
        raise Unreadable(f"{CONFIG} is not a configuration")
    return told_config(tree)


def told_config(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """A configuration by dotted key, without ``run_dir``; paths within that are told from there.

    >>> told_config({"run_dir": "/a", "weights": {"path": "/a/b"}, "x": {"path": "/a"}})
    {'weights.path': '${run_dir}/b', 'x.path': '${run_dir}'}
    """
    run_dir = tree.get("run_dir")
    rest = {key: value for key, value in tree.items() if key != "run_dir"}
    return {key: _without(run_dir, value) for key, value in flat(rest)}


def natural(name: str) -> list[str | int]:
    """A sort key by which numbers in a name count as numbers.

    >>> sorted(["job10", "job2"], key=natural)
    ['job2', 'job10']
    """
    parts = re.split(r"(\d+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]


def scalar(text: str) -> Any:
    """What a value means that was written on a command line.

    >>> scalar("1e-3"), scalar("true"), scalar("[8, 8]"), scalar("cuda:1")
    (0.001, True, [8, 8], 'cuda:1')
    """
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError:
        return text


class Unreadable(DataError):
    """What is wrong with a run directory."""


def _run_directories(folder: Path) -> Iterator[Path]:
    """Those with a record, and those that Hydra began and that have none."""
    for place, folders, files in os.walk(folder):
        if RUN_RECORD in files or ".hydra" in folders:
            yield Path(place)
        visible = (name for name in folders if not name.startswith("."))
        folders[:] = [] if RUN_RECORD in files else sorted(visible, key=natural)


def _existing(folder: Path) -> Path:
    if folder.is_dir():
        return folder
    beside = folder.parent
    others = [str(path) for path in beside.iterdir() if path.is_dir()] if beside.is_dir() else []
    raise ArgumentError(
        f"{folder}: there is no such folder; {nearest(str(folder), others, others[:9])}"
    )


def _moment(facts: Mapping[str, Any], name: str) -> float:
    try:
        return datetime.fromisoformat(facts[name]).timestamp()
    except (KeyError, TypeError, ValueError):
        return 0.0


def _name(directory: Path, folder: Path, is_one_of_several: bool) -> str:
    inside = directory.relative_to(folder)
    if is_one_of_several:
        return str(directory)
    return str(inside) if inside.parts else directory.resolve().name


def _facts(directory: Path) -> Mapping[str, Any]:
    try:
        facts = read_record(directory)
    except FileNotFoundError:
        raise Unreadable(f"has no {RUN_RECORD}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise Unreadable(f"{RUN_RECORD} cannot be read ({error or type(error).__name__})") from None
    if not isinstance(facts, dict) or not isinstance(facts.get("status"), str):
        raise Unreadable(f"{RUN_RECORD} is not the record of a run: it tells no status")
    overrides = facts.setdefault("overrides", [])
    if not isinstance(overrides, list) or not all(isinstance(word, str) for word in overrides):
        raise Unreadable(f"{RUN_RECORD} is damaged: overrides are not a list of words")
    if facts["status"] == "RUNNING" and not is_locked(directory, "run"):
        facts["status"] = KILLED
    return facts


def _written_down(facts: Mapping[str, Any]) -> tuple[Mapping[str, float], Mapping[str, float]]:
    try:
        final = {
            tag: nan if value is None else float(value) for tag, value in facts["final"].items()
        }
        best = {tag: float(best["value"]) for tag, best in facts.get("best", {}).items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise Unreadable(
            f"{RUN_RECORD} is damaged: final and best are no tables of numbers"
        ) from None
    return final, best


def flat(tree: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a tree by dotted key; lists are leaves.

    >>> dict(flat({"optimizer": {"lr": 0.1, "betas": [0.9, 0.99]}, "seed": 0}))
    {'optimizer.lr': 0.1, 'optimizer.betas': [0.9, 0.99], 'seed': 0}
    """
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _without(run_dir: Any, value: Any) -> Any:
    """The run directory and paths inside it are the same for all runs."""
    if isinstance(value, str) and f"{value}/".startswith(f"{run_dir}/"):
        return value.replace(f"{run_dir}", "${run_dir}", 1)
    return value


def _told_by_overrides(overrides: Iterable[str]) -> Mapping[str, Any]:
    pairs = (text.lstrip("+").partition("=") for text in overrides if not text.startswith("~"))
    return {key: scalar(value) for key, _, value in pairs if not key.startswith("hydra")}


def _last_and_best(metrics: Path) -> tuple[Mapping[str, float], Mapping[str, float]]:
    final: dict[str, float] = {}
    best: dict[str, float] = {}
    try:
        with metrics.open(newline="") as file:
            for row in csv.DictReader(file):
                for tag, text in row.items():
                    if text and tag not in ("step", "epoch"):
                        final[tag] = value = float(text)
                        if is_best(tag, value, best.get(tag)):
                            best[tag] = value
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError) as error:
        raise Unreadable(f"{METRICS} cannot be read ({error})") from None
    return final, best
