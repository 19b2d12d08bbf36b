"""Resuming a run that did not complete, or from a checkpoint that is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from hydra.utils import to_absolute_path

from legoloop.app.config.blueprint import Blueprint, behaviour
from legoloop.app.config.settings import OBSERVATION_KEYS
from legoloop.app.wiring.resolve import resolve_with
from legoloop.core.atomic_files import remove_temporaries
from legoloop.core.errors import ConfigError, DataError
from legoloop.core.run_directory import (
    ATTEMPTS,
    CHECKPOINTS,
    GIT_DIFF,
    HYDRA,
    LOG,
    OUTPUT,
    RUN_RECORD,
)
from legoloop.core.text import shorten
from legoloop.loop.host import TrainingHost
from legoloop.state.checkpointer import Checkpointer
from legoloop.state.checkpoints import is_checkpoint, newest_checkpoint, read_checkpoint
from legoloop.state.run_record import Resume, git_state, read_record

WORDS: tuple[Resume, ...] = ("auto", "never", "must")
MAX_SHOWN = 6
"""So many changed keys are shown."""
MAX_MISFITS = 3
"""So many of what torch has to say of weights that do not fit."""

_ABSENT = "nothing"


def parse_resume(resume: str) -> tuple[Resume, Path | None]:
    """What ``resume`` says: whether to resume what the run directory holds, or from where.

    Raises ConfigError for a path that is neither a checkpoint nor a run that has one.

    >>> parse_resume("must")
    ('must', None)
    """
    if resume in WORDS:
        return resume, None
    path = Path(to_absolute_path(resume))  # from where the command was given: chdir leads away
    found = path if is_checkpoint(path) else newest_checkpoint(path / CHECKPOINTS)
    if found is None:
        raise ConfigError(
            f"is '{resume}'; give {', '.join(WORDS)}, a run directory or a checkpoint", key="resume"
        )
    return "never", found


def run_of(checkpoint: Path) -> Path:
    """The run directory that a checkpoint lies in.

    >>> run_of(Path("outputs/mine/checkpoints/45")).name
    'mine'
    """
    return checkpoint.parent.parent


def check_unchanged(blueprint: Blueprint, data: Mapping[str, str | None], directory: Path) -> None:
    """Raises ConfigError if the run in a directory had another configuration, code or data.

    Args:
        blueprint: of the run that is to go on.
        data: the digests of its data sets by name; one that is None is not compared.
        directory: of the run that was there.
    """
    changes = [
        *_changed_keys(blueprint, directory),
        *_changed_data(data, directory),
        *_changed_code(directory),
    ]
    if changes:
        raise ConfigError(
            f"{directory} holds a run of another configuration: "
            f"{shorten(changes, MAX_SHOWN, '; ')}. "
            "Choose another directory, or resume it all the same with on_config_change=accept",
            key="hydra.run.dir",
        )


def load_checkpoint_into(
    host: TrainingHost, checkpoint: Path, accepted: Blueprint | None = None
) -> None:
    """Give a host the state of a checkpoint.

    Args:
        host: of the run that goes on.
        checkpoint: of a run.
        accepted: whose configuration may differ from that run's; the state is loaded as far as the
            host has a place for it. None: nothing differs.

    Raises DataError for a state that it cannot take, with the keys that differ.
    """
    try:
        host.load_state_dict(read_checkpoint(checkpoint), strict=accepted is None)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        first, *more = [line.strip() for line in str(error).splitlines()] or [repr(error)]
        reason = " ".join([*([] if more else [first]), shorten(more, MAX_MISFITS, " ")]).strip()
        changes = [] if accepted is None else [*_changed_keys(accepted, run_of(checkpoint))]
        changed = f"; what changed: {shorten(changes, MAX_SHOWN, '; ')}" if changes else ""
        raise DataError(
            f"{checkpoint}: is not the state of a run like this one ({reason}){changed}"
        ) from error


def newest_of(host: TrainingHost, directory: Path) -> Path | None:
    """The newest whole checkpoint of what the host's plugins keep.

    A host that keeps none any more resumes from those in the directory.
    """
    folders = [p.folder for p in host.plan.plugins.values() if isinstance(p, Checkpointer)]
    return next(filter(None, map(newest_checkpoint, folders or [directory / CHECKPOINTS])), None)


def remove_temporaries_of(directory: Path) -> None:
    """Remove the temporary files of an attempt that was killed."""
    for folder in (directory, directory / CHECKPOINTS):
        remove_temporaries(folder)


def archive_attempt(directory: Path) -> None:
    """Move away what an attempt without a checkpoint left; the run begins anew beside it."""
    kept = {RUN_RECORD, HYDRA, ATTEMPTS, LOG, OUTPUT}
    left = [path for path in directory.iterdir() if path.name not in kept and not _is_lock(path)]
    if left:
        aside = next(path for n in count(1) if not (path := directory / ATTEMPTS / str(n)).exists())
        aside.mkdir(parents=True)
        for path in left:
            path.rename(aside / path.name)


def _is_lock(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(".lock")


def _changed_keys(blueprint: Blueprint, directory: Path) -> Iterator[str]:
    from legoloop.results.reading import flatten_run_config, read_config

    recorded = read_config(directory)
    if recorded is None:
        return
    observed = {key: recorded[key] for key in OBSERVATION_KEYS if key in recorded}
    alike, _ = resolve_with(blueprint.unresolved, observed)
    before, now = behaviour(recorded), behaviour(flatten_run_config(alike))
    for key in dict.fromkeys([*before, *now]):
        was, is_now = before.get(key, _ABSENT), now.get(key, _ABSENT)
        if repr(was) != repr(is_now):
            yield f"{key} was {was}, is {is_now}"


def _changed_data(data: Mapping[str, str | None], directory: Path) -> Iterator[str]:
    """The data sets with other samples; one that was or is not there is a changed key."""
    before = _record_of(directory).get("data") or {}
    for name in data:
        was, is_now = before.get(name), data[name]
        if was is not None and is_now is not None and was != is_now:
            yield f"the samples of data.datasets.{name} are others (digest {was}, now {is_now})"


def _changed_code(directory: Path) -> Iterator[str]:
    """The commit, or what differs from it; untracked files are ignored."""
    before = _record_of(directory).get("git")
    now, patch = git_state()
    if before is None or now is None:
        return
    if before["commit"] != now["commit"]:
        yield f"the code was commit {before['commit'][:7]}, is {now['commit'][:7]}"
    kept = directory / GIT_DIFF
    if (kept.read_bytes() if kept.exists() else b"") != patch:
        yield f"what differs from the commit ({GIT_DIFF}) is not the same"


def _record_of(directory: Path) -> Mapping[str, Any]:
    return read_record(directory) if (directory / RUN_RECORD).exists() else {}
