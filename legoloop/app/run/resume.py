"""Going on with a run that did not complete, or from a checkpoint that is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from hydra.utils import to_absolute_path
from omegaconf import DictConfig, OmegaConf

from legoloop.app.config.nodes import NodeError
from legoloop.app.config.schema import LAUNCH_KEYS, OBSERVATION_KEYS
from legoloop.app.config.trees import plain
from legoloop.core.atomic_files import remove_temporaries
from legoloop.core.errors import ConfigError, DataError
from legoloop.loop.host import TrainingHost
from legoloop.state.checkpointer import Checkpointer
from legoloop.state.checkpoints import is_checkpoint, newest_checkpoint, read_checkpoint
from legoloop.state.run_record import GIT_DIFF as DIFF, RUN_RECORD as RECORD, Resume, git_state, read_record

WORDS: tuple[Resume, ...] = ("auto", "never", "must")
CHECKPOINTS = "checkpoints"
MOST = 6
"""So many changed keys are shown."""

_ABSENT = "nothing"


def parse_resume(resume: str) -> tuple[Resume, Path | None]:
    """What ``resume`` says: whether to go on with what the run directory holds, or from where.

    Raises NodeError for a path that is neither a checkpoint nor a run that has one.

    >>> parse_resume("must")
    ('must', None)
    """
    if resume in WORDS:
        return resume, None
    path = Path(to_absolute_path(resume))  # from where the command was given: chdir leads away
    found = path if is_checkpoint(path) else newest_checkpoint(path / CHECKPOINTS)
    if found is None:
        raise NodeError(
            "resume", f"is '{resume}'; give {', '.join(WORDS)}, a run directory or a checkpoint"
        )
    return "never", found


def run_of(checkpoint: Path) -> Path:
    """The run directory that a checkpoint lies in.

    >>> run_of(Path("outputs/mine/checkpoints/45")).name
    'mine'
    """
    return checkpoint.parent.parent


def refuse_changed(tree: DictConfig, directory: Path) -> None:
    """Raises ConfigError if the run in a directory was made from another tree or other code."""
    changes = [*_changed_keys(tree, directory), *_changed_code(directory)]
    if changes:
        more = [f"and {len(changes) - MOST} more"] if len(changes) > MOST else []
        raise ConfigError(
            f"hydra.run.dir: {directory} holds a run that was made otherwise: "
            f"{'; '.join([*changes[:MOST], *more])}. "
            "Choose another directory, or go on all the same with on_config_change=accept"
        )


def behavioural_keys(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A configuration by dotted key, without what says how the run is begun.

    >>> behavioural_keys({"seed": 0, "resume": "must", "sweep.on_failure": "stop"})
    {'seed': 0}
    """
    return {key: v for key, v in config.items() if key.split(".")[0] not in LAUNCH_KEYS}


def load_checkpoint_into(host: TrainingHost, checkpoint: Path, strict: bool) -> None:
    """Give a host the state of a checkpoint; unless ``strict``, as far as it has a place for it."""
    try:
        host.load_state_dict(read_checkpoint(checkpoint), strict)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise DataError(
            f"{checkpoint}: is not the state of a run like this one "
            f"({str(error).splitlines()[0] if str(error) else repr(error)})"
        ) from error


def newest_of(host: TrainingHost) -> Path | None:
    """The newest whole checkpoint of what the host's plugins keep."""
    folders = [p.folder for p in host.plan.plugins.values() if isinstance(p, Checkpointer)]
    return next(filter(None, map(newest_checkpoint, folders)), None)


def remove_temporaries_of(directory: Path) -> None:
    """Remove what an attempt that was killed had begun to write."""
    for folder in (directory, directory / CHECKPOINTS):
        remove_temporaries(folder)


def archive_attempt(directory: Path) -> None:
    """Move what an attempt left that nothing can go on from; the run begins anew beside it."""
    kept = {RECORD, ".hydra", "attempts", "run.log"}
    left = [path for path in directory.iterdir() if path.name not in kept and not _is_lock(path)]
    if left:
        aside = next(
            path for n in count(1) if not (path := directory / "attempts" / str(n)).exists()
        )
        aside.mkdir(parents=True)
        for path in left:
            path.rename(aside / path.name)


def _is_lock(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(".lock")


def _changed_keys(tree: DictConfig, directory: Path) -> Iterator[str]:
    from legoloop.results.reading import read_config, flatten_run_config

    recorded = read_config(directory)
    if recorded is None:
        return
    alike = _looked_at_alike(tree, recorded)
    before, now = behavioural_keys(recorded), behavioural_keys(flatten_run_config(plain(alike)))
    for key in dict.fromkeys([*before, *now]):
        was, is_now = before.get(key, _ABSENT), now.get(key, _ABSENT)
        if repr(was) != repr(is_now):
            yield f"{key} was {was}, is {is_now}"


def _looked_at_alike(tree: DictConfig, recorded: Mapping[str, Any]) -> DictConfig:
    """The tree with what the record has under keys about looking, and all that follows from it."""
    alike = tree.copy()
    for key in OBSERVATION_KEYS:
        if key in alike and key in recorded:
            OmegaConf.update(alike, key, recorded[key])
    return alike


def _changed_code(directory: Path) -> Iterator[str]:
    """The commit, or what differs from it; files that git does not know are not looked at."""
    before = read_record(directory).get("git") if (directory / RECORD).exists() else None
    now, patch = git_state()
    if before is None or now is None:
        return
    if before["commit"] != now["commit"]:
        yield f"the code was commit {before['commit'][:7]}, is {now['commit'][:7]}"
    kept = directory / DIFF
    if (kept.read_bytes() if kept.exists() else b"") != patch:
        yield f"what differs from the commit ({DIFF}) is not the same"
