"""What a process asks of the disk, one call at a time: the places where it can be broken."""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import RLock
from typing import Any

Act = Callable[["Calls", str, str], object]
"""What is done before a call, given its kind and its path."""


class Calls:
    """Stands between a process and a folder: hears of each call before it is made.

    The calls are those that change something: open to write, write, fsync, rename, mkdir, unlink,
    rmdir. Every write is made in two halves, so that something can happen between them. To be
    installed in a process of its own, for good.
    """

    def __init__(self, below: str | Path, act: Act) -> None:
        self.below = str(below)
        self.act = act
        self.number = -1
        self.dirty: dict[tuple[int, int], str] = {}  # what no fsync has made sure of yet
        self.renamed: list[tuple[str, str, str | None]] = []  # the same: from, to, what was there
        self.one_at_a_time = RLock()  # several files may wait for the disk at once

    def install(self) -> None:
        """From here on."""
        builtins.open = io.open = self._opening(io.open)  # type: ignore[assignment]
        os.fsync = self._fsync(os.fsync)
        for name in ("rename", "replace"):
            setattr(os, name, self._renaming(getattr(os, name)))
        for name in ("mkdir", "unlink", "remove", "rmdir"):
            setattr(os, name, self._changing(name, getattr(os, name)))

    def met(self, call: str, path: str) -> None:
        """A call is about to be made."""
        self.number += 1
        self.act(self, call, path)

    def is_below(self, path: object) -> bool:
        """Whether the path is in the folder, or the folder itself."""
        given = os.path.abspath(os.fsdecode(path))  # type: ignore[arg-type]
        return given == self.below or given.startswith(self.below + os.sep)

    def lose_what_is_not_synced(self) -> None:
        """The state of a disk that lost its power: unsynced names and contents are not there."""
        for source, target, kept in reversed(self.renamed):
            if os.path.lexists(target):
                _rename(target, source)
                if kept is not None:
                    _rename(kept, target)
        for identity, path in self.dirty.items():
            places = [path, *(str(found) for found in Path(self.below).rglob("*"))]
            for place in places:
                if os.path.isfile(place) and _identity(place) == identity:
                    os.truncate(place, 0)

    def _opening(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def opened(
            file: Any,
            mode: str = "r",
            buffering: int = -1,
            encoding: str | None = None,
            errors: str | None = None,
            newline: str | None = None,
            *more: Any,
            **given: Any,
        ) -> Any:
            writes = isinstance(file, str | os.PathLike) and set(mode) & set("wax+")
            if not writes or not self.is_below(file):
                return real(file, mode, buffering, encoding, errors, newline, *more, **given)
            self.met("open", str(file))
            raw = _Halves(self, file, mode.replace("b", "").replace("t", ""))
            if buffering == 0:
                return raw
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            if "b" in mode:
                return buffered
            return io.TextIOWrapper(buffered, encoding, errors, newline, buffering == 1)

        return opened

    def _fsync(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def fsync(handle: int) -> None:
            path = os.readlink(f"/proc/self/fd/{handle}")
            if not self.is_below(path):
                return real(handle)
            with self.one_at_a_time:
                self.met("fsync", path)
                self.dirty.pop(_identity(path), None)
                self.renamed = [
                    each
                    for each in self.renamed
                    if os.path.dirname(os.path.abspath(each[1])) != path
                ]
                real(handle)

        return fsync

    def _renaming(self, real: Callable[..., None]) -> Callable[..., None]:
        def rename(source: Any, target: Any, **given: Any) -> None:
            if not self.is_below(target):
                return real(source, target, **given)
            self.met("rename", str(target))
            kept = None
            if os.path.isfile(target):
                kept = f"{self.below}.kept{self.number}"
                os.link(target, kept)
            real(source, target, **given)
            if not str(target).endswith(".tmp"):  # on its way out: nobody misses it
                self.renamed.append((os.path.abspath(source), os.path.abspath(target), kept))

        return rename

    def _changing(self, name: str, real: Callable[..., None]) -> Callable[..., None]:
        def change(path: Any, *more: Any, dir_fd: int | None = None, **given: Any) -> None:
            full = path if dir_fd is None else f"{os.readlink(f'/proc/self/fd/{dir_fd}')}/{path}"
            if self.is_below(full):
                self.met(name, str(full))
            real(path, *more, **given, **({} if dir_fd is None else {"dir_fd": dir_fd}))

        return change


class _Halves(io.FileIO):
    """A file that is written to in halves, each heard of before it is written."""

    def __init__(self, calls: Calls, file: Any, mode: str) -> None:
        super().__init__(file, mode)
        self.calls = calls

    def write(self, data: Any) -> int:
        content = bytes(data)
        written = 0
        for half in (content[: len(content) // 2], content[len(content) // 2 :]):
            self.calls.met("write", str(self.name))
            status = os.fstat(self.fileno())
            self.calls.dirty[status.st_dev, status.st_ino] = os.path.abspath(self.name)
            while half:
                size = super().write(half)
                written, half = written + size, half[size:]
        return written


_rename = os.rename


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


# What can be done before a call


def listed_in(file: Path) -> Act:
    """Write down each call; nothing else."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    return lambda calls, call, path: os.write(handle, (json.dumps([call, path]) + "\n").encode())


def calls_in(file: Path) -> list[tuple[str, str]]:
    """The calls that were written down."""
    return [(call, path) for call, path in map(json.loads, file.read_text().splitlines())]


def killed_before(number: int) -> Act:
    """The process is gone before call ``number``."""

    def act(calls: Calls, call: str, path: str) -> None:
        if calls.number == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return act


def power_lost_before(number: int) -> Act:
    """The same, and what no fsync had made sure of is gone too."""

    def act(calls: Calls, call: str, path: str) -> None:
        if calls.number == number:
            calls.act = lambda *given: None
            calls.lose_what_is_not_synced()
            os.kill(os.getpid(), signal.SIGKILL)

    return act


def failing_from(number: int, error: int, times: int | None = None) -> Act:
    """Whatever needs the disk fails from call ``number`` on, for so many calls; None: for good."""
    needing = ("open", "write", "fsync", "mkdir", "rename")

    def act(calls: Calls, call: str, path: str) -> None:
        is_now = number <= calls.number and (times is None or calls.number < number + times)
        if is_now and (call in needing if error == errno.ENOSPC else True):
            raise OSError(error, os.strerror(error), path)

    return act


def one_save(calls: Sequence[tuple[str, str]], step: int, next_step: int) -> range:
    """The numbers of the calls of the save of one step, until the old ones are gone."""
    drafts = [path.partition("checkpoints/.")[2].split(".")[0] for _, path in calls]
    return range(drafts.index(str(step)), drafts.index(str(next_step)))
