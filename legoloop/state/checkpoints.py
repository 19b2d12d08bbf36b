"""Checkpoints: a folder a step, whole or absent."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from legoloop.core.checks import at_least
from legoloop.core.contracts import Counts
from legoloop.core.errors import DataError
from legoloop.core.plugin import ShouldSave, State
from legoloop.core.whole_files import whole_folder

STATE = "state.pt"
MANIFEST = "manifest.json"


class EpochCheckpoints:
    """Keeps the host's state, at the end of every so many epochs, in ``<folder>/<step>/``.

    Read one back with ``host.load_state_dict(read_checkpoint(folder / step))``. Raises
    ArgumentError if ``every`` is less than 1.

    >>> from legoloop.training.counter import Counter
    >>> EpochCheckpoints(Counter(), "checkpoints", every=0)
    Traceback (most recent call last):
    legoloop.core.errors.ArgumentError: every is 0; give a whole number of at least 1
    """

    def __init__(self, counter: Counts, folder: str | Path, every: int = 1) -> None:
        at_least(1, every=every)
        self.counter = counter
        self.folder = Path(folder)
        self.every = every

    def epoch_end(self) -> ShouldSave | None:
        """Ask for the host's state, if it is time."""
        return ShouldSave(self._save) if self.counter.epochs % self.every == 0 else None

    def _save(self, state: State) -> None:
        write_checkpoint(self.folder / str(self.counter.steps), state)


def write_checkpoint(folder: Path, state: State) -> None:
    """Write a state of tensors, numbers, strings, lists and dicts; its manifest comes last.

    Raises DataError for anything else in the state, since it could not be read back.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "0"
    >>> write_checkpoint(folder, {"weight": torch.ones(2), "epoch": 3})
    >>> read_checkpoint(folder)
    {'weight': tensor([1., 1.]), 'epoch': 3}
    """
    with whole_folder(folder) as draft:
        torch.save(state, draft / STATE)
        _refuse_unreadable(draft / STATE)
        (draft / MANIFEST).write_text(json.dumps({STATE: _facts(draft / STATE)}, indent=2))


def read_checkpoint(folder: Path) -> State:
    """Read a checkpoint back, after comparing it with its manifest.

    Raises DataError for a folder that is no checkpoint, or a damaged one.
    """
    if not (folder / MANIFEST).is_file():
        raise DataError(f"{folder} is no checkpoint: it has no {MANIFEST}")
    manifest = _read_manifest(folder / MANIFEST)
    for name in {STATE, *manifest}:
        if not (folder / name).is_file() or _facts(folder / name) != manifest.get(name):
            raise DataError(f"{folder / name} is damaged: it is not the file that was written")
    state: State = torch.load(folder / STATE, weights_only=True)
    return state


def _refuse_unreadable(file: Path) -> None:
    foreign = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    if foreign:
        raise DataError(
            f"a plugin's state holds {' and '.join(sorted(foreign))}, which could not be read "
            "back; a state is made of tensors, numbers, strings, lists and dicts"
        )


def _read_manifest(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_bytes()))
    except (ValueError, TypeError):
        raise DataError(f"{file} is damaged: it does not list the files of a checkpoint") from None


def _facts(file: Path) -> dict[str, Any]:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {"bytes": file.stat().st_size, "sha256": digest}
