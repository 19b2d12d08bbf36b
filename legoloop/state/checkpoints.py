"""Checkpoints on the disk: a folder per step, written atomically.

The state is written by ``torch.save`` and read by torch's restricted unpickler
(``weights_only``), and not before its SHA-256 is that of the manifest. Safetensors beside JSON
would be the other choice; but states have numbers for keys, tuples, and tensors that share their
memory, and all of these come back as they were. What the unpickler would refuse is refused when
it is saved.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from math import inf
from pathlib import Path
from pickle import UnpicklingError
from typing import BinaryIO, TypeVar

import torch

from legoloop.core.atomic_files import atomic_directory, backups_in, start_writeback
from legoloop.core.errors import DataError
from legoloop.core.nested import named_tensors
from legoloop.core.run_directory import CHECKPOINT_MANIFEST, CHECKPOINT_STATE
from legoloop.core.shards import is_sharded
from legoloop.loop.plugin import State
from legoloop.state.manifest import FileDigest, Manifest, read_manifest, reject_outside_link

CHUNK = 2 << 20
"""The number of bytes that are digested and written at a time, before write-back starts."""

log = logging.getLogger("legoloop")
T = TypeVar("T")


def write_checkpoint(
    folder: Path, state: State, number: int = 0, scalars: Mapping[str, float] | None = None
) -> None:
    """Write a state of tensors, numbers, strings, lists and dicts; its manifest comes last.

    An older one of that name is replaced, and whole until then.

    Args:
        folder (Path): becomes the checkpoint; its name is the number of steps.
        state (dict): the state.
        number (int): grows with each checkpoint that is written to the parent folder.
        scalars (Mapping[str, float] | None): the metric that it may be kept for.

    Raises DataError for anything else in the state, since it could not be read back, and if it
    cannot be written, with the bytes that it needs.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "0"
    >>> write_checkpoint(folder, {"weight": torch.ones(2), "epoch": 3})
    >>> read_checkpoint(folder)
    {'weight': tensor([1., 1.]), 'epoch': 3}
    """
    for name, tensor in named_tensors(state):
        if is_sharded(tensor):
            raise DataError(f"{folder} cannot be saved: {name} is a shard; save whole tensors")
    try:
        with atomic_directory(folder) as temporary:
            files = {CHECKPOINT_STATE: _write_state(state, temporary / CHECKPOINT_STATE)}
            (temporary / CHECKPOINT_MANIFEST).write_text(
                Manifest(number, files, scalars or {}).text()
            )
    except OSError as error:
        there = next(parent for parent in folder.parents if parent.exists())
        raise DataError(
            f"{folder} cannot be saved ({error.strerror}): it needs "
            f"{_HashingWriter.of(state).bytes} bytes, {shutil.disk_usage(there).free} are free; "
            "the checkpoints before it are whole"
        ) from error


def read_checkpoint(folder: Path) -> State:
    """Read a checkpoint back, its tensors on the CPU, after comparing it with its manifest.

    Raises DataError for a folder that is no checkpoint, a damaged one, a link that leads
    elsewhere, and anything but tensors and plain values.
    """
    with _verified(folder) as content:
        try:
            state: State = torch.load(content, map_location="cpu", weights_only=True)
        except Exception as error:
            raise DataError(
                f"{folder / CHECKPOINT_STATE} is refused: it is not a state of tensors and plain "
                f"values that this version of torch reads ({type(error).__name__})"
            ) from error
    return state


def newest_checkpoint(folder: Path) -> Path | None:
    """The whole checkpoint that was written last in a folder of them; None if there is none.

    Names each damaged one that it meets in a warning; reads no state.

    >>> newest_checkpoint(Path("nowhere"))
    """
    found = _newest(folder, verify)
    return None if found is None else found[0]


def read_newest(folder: Path) -> tuple[Path, State] | None:
    """As ``newest_checkpoint``, with its state.

    >>> read_newest(Path("nowhere"))
    """
    return _newest(folder, read_checkpoint)


def checkpoints_in(folder: Path) -> list[Path]:
    """All checkpoints of a folder, the last written first, before them those without a manifest.

    Among them may be one that a process was killed while replacing.

    >>> checkpoints_in(Path("nowhere"))
    []
    """
    if not os.path.isdir(folder):  # also for a name that is too long, which glob would raise
        return []
    steps = [path for path in folder.glob("*") if path.name.isdecimal()]
    found = filter(is_checkpoint, [*steps, *backups_in(folder)])
    return sorted(found, key=_number, reverse=True)


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder is a checkpoint, whole or damaged.

    >>> is_checkpoint(Path("nowhere"))
    False
    """
    return any(os.path.lexists(folder / name) for name in (CHECKPOINT_MANIFEST, CHECKPOINT_STATE))


def verify(folder: Path) -> None:
    """Raises DataError unless the checkpoint is as it was written; deserialises nothing."""
    with _verified(folder):
        pass


def _newest(folder: Path, read: Callable[[Path], T]) -> tuple[Path, T] | None:
    for checkpoint in checkpoints_in(folder):
        try:
            return checkpoint, read(checkpoint)
        except DataError as damage:
            log.warning("%s; trying the one before it", damage)
    return None


def _number(folder: Path) -> float:
    try:
        return read_manifest(folder).number
    except DataError:
        return inf


@contextmanager
def _verified(folder: Path) -> Iterator[BufferedReader]:
    """The file of the state, open at its beginning, once it is known to be what was written."""
    expected = read_manifest(folder).files.get(CHECKPOINT_STATE)
    file = folder / CHECKPOINT_STATE
    reject_outside_link(file)
    try:
        if not file.is_file():
            raise DataError(f"{file} is damaged: it is not there")
        with file.open("rb") as content:
            if FileDigest.of(content) != expected:
                raise DataError(f"{file} is damaged: it is not the file that was written")
            content.seek(0)
            yield content
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror})") from error


def _write_state(state: State, file: Path) -> FileDigest:
    with file.open("wb") as content:
        writer = _HashingWriter.of(state, content)
        if writer.error is not None:
            raise writer.error
    _reject_unreadable(file)
    return FileDigest(writer.bytes, writer.digest.hexdigest())


class _HashingWriter:
    """The file object that torch writes to: counts, digests, and writes to a file if given one.

    The file's first error is kept, not raised, since torch would raise one of its own over it.
    """

    def __init__(self, file: BinaryIO | None = None) -> None:
        self.file = file
        self.bytes = 0
        self.flushed = 0
        self.digest = hashlib.sha256()
        self.error: OSError | None = None

    @classmethod
    def of(cls, state: State, file: BinaryIO | None = None) -> _HashingWriter:
        writer = cls(file)
        torch.save(state, writer)  # type: ignore[arg-type]  # write and flush are all that it calls
        return writer

    def write(self, data: memoryview) -> int:
        for start in range(0, len(data), CHUNK):
            self._write_chunk(data[start : start + CHUNK])
        return len(data)

    def flush(self) -> None:
        """Torch asks for it; closing the file is what counts."""

    def _write_chunk(self, chunk: memoryview) -> None:
        self.bytes += len(chunk)
        self.digest.update(chunk)
        if self.file is not None and self.error is None:
            try:
                self.file.write(chunk)
            except OSError as error:
                self.error = error
            if self.bytes - self.flushed >= CHUNK:
                start_writeback(self.file, self.flushed, self.bytes - self.flushed)
                self.flushed = self.bytes


def _reject_unreadable(file: Path) -> None:
    try:
        foreign = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    except UnpicklingError:
        foreign = ["a number of more than 255 bytes"]
    if foreign:
        raise DataError(
            f"a plugin's state holds {' and '.join(sorted(foreign))}, which could not be read "
            "back; a state is made of tensors, numbers, strings, lists and dicts"
        )
