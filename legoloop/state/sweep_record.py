"""The record of a sweep, ``sweep.json``: its jobs, their configurations and the code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from legoloop.core.atomic_files import atomic_write
from legoloop.core.errors import ConfigError
from legoloop.core.record_files import first_line, parse_json, read_bytes
from legoloop.core.run_directory import RUN_RECORD, SWEEP_RECORD
from legoloop.core.text import printable, shown
from legoloop.state.directory_lock import DirectoryLock
from legoloop.state.run_record import Resume, git_state, timestamp

KEYS = {"started", "jobs", "configurations", "commit", "difference"}
"""What every record of a sweep has."""


def lock_sweep(
    directory: Path,
    jobs: Sequence[Sequence[str]],
    configurations: Sequence[Mapping[str, Any]],
    resume: Resume = "never",
    accept: bool = False,
    directories: Sequence[str] | None = None,
    search: Mapping[str, Any] | None = None,
) -> DirectoryLock:
    """Lock a folder for this sweep and record its jobs.

    A sweep of the same jobs that is there already is resumed.

    Args:
        directory (Path): the folder of the sweep.
        jobs (Sequence[Sequence[str]]): a list of overrides for each job.
        configurations (Sequence[Mapping]): the resolved configuration of each job.
        resume (str): ``auto``: resume a sweep that is there; ``never``; or ``must``.
        accept (bool): resume it though its configurations or the code have changed.
        directories (Sequence[str]): of each job, relative to the folder; None: their numbers.
        search (Mapping): what jobs are chosen from and by, if they are not known ahead; only the
            number of trials, ``n_trials``, may change.

    Raises ConfigError if another process has the folder, if it holds another sweep, or if it
    cannot be made.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> lock_sweep(folder, [["seed=0"]], [{"seed": 0}]).release()
    >>> lock_sweep(folder, [["seed=0"]], [{"seed": 0}], resume="auto").release()
    >>> lock_sweep(folder, [["seed=1"]], [{"seed": 1}], resume="auto")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    legoloop.core.errors.ConfigError: hydra.sweep.dir: ... holds a sweep of other jobs ...
    """
    facts = _facts(jobs, configurations)
    if search is not None:
        facts["search"] = dict(search)
    _check_startable(directory, facts, resume, accept)
    lock = DirectoryLock(directory, "sweep")
    try:
        previous = _check_startable(directory, facts, resume, accept)
    except ConfigError:
        lock.release()
        raise
    if previous is not None:
        facts["started"] = previous["started"]
    if directories is not None:
        facts["directories"] = list(directories)
    with atomic_write(directory / SWEEP_RECORD) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n")
    return lock


def _facts(
    jobs: Sequence[Sequence[str]], configurations: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    git, patch = git_state()
    return {
        "started": timestamp(),
        "jobs": [list(job) for job in jobs],
        "configurations": [digest_of(tree) for tree in configurations],
        "commit": git and git["commit"],
        "difference": _digest(patch.decode("latin-1")),
    }


def started_of(directory: Path) -> str | None:
    """When the sweep in a folder began; None if there is none.

    Raises ConfigError for a record that cannot be read.
    """
    found = _found(directory)
    return None if found is None else str(found["started"])


def digest_of(configuration: Mapping[str, Any]) -> str:
    """What a configuration is recognised by."""
    return _digest(json.dumps(configuration, default=str))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _check_startable(
    directory: Path, facts: Mapping[str, Any], resume: Resume, accept: bool
) -> dict[str, Any] | None:
    """The record of the sweep to resume, None for a new one; ConfigError if it may not start."""
    previous = _found(directory)
    key = "hydra.sweep.dir"
    if (directory / RUN_RECORD).exists():
        raise ConfigError(
            f"{directory} holds a run, and runs do not hold others",
            key=key,
            remedy="choose another",
        )
    if previous is None:
        if resume == "must":
            raise ConfigError(
                f"is must, but {key}, {directory}, holds no sweep",
                key="resume",
                remedy="name one that does",
            )
        return None
    if resume == "never":
        raise ConfigError(
            f"{directory} holds a sweep already (started {previous['started']})",
            key=key,
            remedy="choose another directory, or remove that one",
        )
    if differs := _differs(previous.get("search"), facts.get("search")):
        raise ConfigError(
            f"{directory} holds a sweep (started {previous['started']}) with {differs}",
            key=key,
            remedy="give the command that began it, or choose another directory",
        )
    if previous["jobs"] != facts["jobs"]:
        raise ConfigError(
            f"{directory} holds a sweep of other jobs (started {previous['started']})",
            key=key,
            remedy="give the command that began it, or choose another directory",
        )
    if not accept and (changed := _changed(previous, facts)):
        raise ConfigError(
            f"{directory} holds this sweep, but since it began (at {previous['started']}) "
            f"{changed} changed",
            key=key,
            remedy="choose another directory, or go on all the same with on_config_change=accept",
        )
    return previous


def _differs(was: Any, is_: Mapping[str, Any] | None) -> str:
    """In what the search that is there is another one; nothing if it is not."""
    if was is None and is_ is None:
        return ""
    if not isinstance(was, dict) or is_ is None:
        return "another sweeper"
    for key in is_.keys() - {"n_trials", "configuration"}:
        if was.get(key) != is_[key]:
            return f"another {key}: {printable(shown(was.get(key), 200))}"
    return ""


def _changed(previous: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    pairs = enumerate(zip(previous["configurations"], facts["configurations"], strict=True))
    changed = [f"the configuration of job {number}" for number, (was, is_) in pairs if was != is_]
    searches = [(record.get("search") or {}).get("configuration") for record in (previous, facts)]
    if searches[0] != searches[1]:
        changed.append("the configuration of its jobs")
    if len(changed) > 1:
        changed = [f"the configurations of {len(changed)} jobs"]
    if (previous["commit"], previous["difference"]) != (facts["commit"], facts["difference"]):
        changed.append("the code")
    return " and ".join(changed)


def _found(directory: Path) -> dict[str, Any] | None:
    file = directory / SWEEP_RECORD
    problem = "is no record of a sweep"
    try:
        found = parse_json(read_bytes(file))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        found, problem = None, f"cannot be read ({first_line(error)})"
    if not _is_record(found):
        raise ConfigError(
            f"{file} {problem}", key="hydra.sweep.dir", remedy="choose another folder"
        )
    return found


def _is_record(found: Any) -> TypeGuard[dict[str, Any]]:
    """Whether it is what ``_facts`` made: a configuration for each job."""
    if not isinstance(found, dict) or not found.keys() >= KEYS:
        return False
    jobs, configurations = found["jobs"], found["configurations"]
    are_lists = isinstance(jobs, list) and isinstance(configurations, list)
    return are_lists and len(jobs) == len(configurations)
