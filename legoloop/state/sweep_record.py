"""What a sweep writes down about itself: ``sweep.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from legoloop.core.atomic_files import atomic_write
from legoloop.core.errors import ConfigError
from legoloop.state.directory_lock import DirectoryLock
from legoloop.state.run_record import RECORD as RECORD_OF_A_RUN
from legoloop.state.run_record import Resume, git_state, now

RECORD = "sweep.json"
KEYS = {"started", "jobs", "configurations", "commit", "difference"}


def lock_sweep(
    directory: Path,
    jobs: Sequence[Sequence[str]],
    configurations: Sequence[Mapping[str, Any]],
    resume: Resume = "never",
    accept: bool = False,
) -> DirectoryLock:
    """Make a folder this sweep's own and write down its jobs, a list of overrides each.

    A sweep of the same jobs that is there already is gone on with if ``resume`` allows it; one
    whose configurations or code were others only if told to ``accept`` that.

    Raises ConfigError if it is another's, holds another sweep, or cannot be made.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> lock_sweep(folder, [["seed=0"]], [{"seed": 0}]).release()
    >>> lock_sweep(folder, [["seed=0"]], [{"seed": 0}], resume="auto").release()
    >>> lock_sweep(folder, [["seed=1"]], [{"seed": 1}], resume="auto")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    legoloop.core.errors.ConfigError: hydra.sweep.dir: ... holds a sweep of other jobs ...
    """
    facts = _facts(jobs, configurations)
    _refuse(directory, facts, resume, accept)
    claim = DirectoryLock(directory, "sweep")
    try:
        before = _refuse(directory, facts, resume, accept)
    except ConfigError:
        claim.release()
        raise
    if before is not None:
        facts["started"] = before["started"]
    with atomic_write(directory / RECORD) as draft:
        draft.write_text(json.dumps(facts, indent=2) + "\n")
    return claim


def _facts(
    jobs: Sequence[Sequence[str]], configurations: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    git, patch = git_state()
    return {
        "started": now(),
        "jobs": [list(job) for job in jobs],
        "configurations": [_digest(json.dumps(tree, default=str)) for tree in configurations],
        "commit": git and git["commit"],
        "difference": _digest(patch.decode("latin-1")),
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _refuse(
    directory: Path, facts: Mapping[str, Any], resume: Resume, accept: bool
) -> dict[str, Any] | None:
    """Raises ConfigError unless the sweep may begin there, or go on; what is there."""
    before = _found(directory)
    told = f"hydra.sweep.dir: {directory}"
    if (directory / RECORD_OF_A_RUN).exists():
        raise ConfigError(f"{told} holds a run, and runs do not hold others; choose another")
    if before is None:
        if resume == "must":
            raise ConfigError(f"resume: is must, but {told} holds no sweep; name one that does")
        return None
    if resume == "never":
        raise ConfigError(
            f"{told} holds a sweep already (started {before['started']}); "
            "choose another directory, or remove that one"
        )
    if before["jobs"] != facts["jobs"]:
        raise ConfigError(
            f"{told} holds a sweep of other jobs (started {before['started']}); "
            "give the command that began it, or choose another directory"
        )
    if not accept and (changed := _changed(before, facts)):
        raise ConfigError(
            f"{told} holds this sweep, but since it began (at {before['started']}) {changed} "
            "changed; choose another directory, or go on all the same with on_config_change=accept"
        )
    return before


def _changed(before: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    pairs = enumerate(zip(before["configurations"], facts["configurations"], strict=True))
    changed = [f"the configuration of job {number}" for number, (was, is_) in pairs if was != is_]
    if len(changed) > 1:
        changed = [f"the configurations of {len(changed)} jobs"]
    if (before["commit"], before["difference"]) != (facts["commit"], facts["difference"]):
        changed.append("the code")
    return " and ".join(changed)


def _found(directory: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((directory / RECORD).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or not found.keys() >= KEYS:
        raise ConfigError(
            f"hydra.sweep.dir: {directory / RECORD} is no record of a sweep; choose another folder"
        )
    return found
