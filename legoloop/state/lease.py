"""A claim on a directory that other machines see, where its lock may exclude this one alone.

Network file systems are often mounted without locks between machines. A lease is a file: it names
its owner, and shows by its time that the owner lives.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from platform import node
from threading import Event, Thread
from uuid import uuid4

from legoloop.core.record_files import parse_json, read_bytes
from legoloop.core.text import printable

BEAT = 5.0
"""Seconds between two signs of life."""
EXPIRY = 30.0
"""Seconds without one after which an owner is taken for dead."""

_leased: ContextVar[bool] = ContextVar("leased", default=False)


@contextmanager
def leased() -> Iterator[None]:
    """Directories that are locked inside are leased too: other machines may want them."""
    token = _leased.set(True)
    try:
        yield
    finally:
        _leased.reset(token)


@dataclass(frozen=True)
class Holder:
    """Who has a lease, and the time of the last sign of life."""

    owner: str
    host: str
    pid: int
    beat: float

    @property
    def is_elsewhere(self) -> bool:
        """Whether it is a process of another machine; on this one, the lock knows better."""
        return self.host != node()

    def __str__(self) -> str:
        return f"process {self.pid} of {printable(self.host)}"


def holder(file: Path) -> Holder | None:
    """Who has this lease; None if nobody has."""
    try:
        beat = file.stat().st_mtime
        facts = parse_json(read_bytes(file))
        return Holder(str(facts["owner"]), str(facts["host"]), int(facts["pid"]), beat)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def is_alive(file: Path) -> bool:
    """Whether a process of another machine has this lease and lives, as far as one look tells.

    >>> is_alive(Path("nowhere"))
    False
    """
    found = holder(file)
    return found is not None and found.is_elsewhere and time.time() - found.beat < EXPIRY


def living_holder(file: Path, clock: Path) -> Holder | None:
    """Who has this lease on another machine and lives; watched until that is sure.

    Args:
        file: of the lease.
        clock: a file beside it, which is touched: the file server's time counts, not ours.
    """
    first = holder(file)
    if first is None or not first.is_elsewhere:
        return None
    os.utime(clock)
    give_up = time.monotonic() + first.beat + EXPIRY - clock.stat().st_mtime
    while time.monotonic() < give_up:
        found = holder(file)
        if found is None:
            return None
        if found != first:
            return found
        time.sleep(min(0.2, EXPIRY / 10))
    return None


class Lease:
    """A lease that this process keeps alive until ``release``.

    Args:
        file (Path): of the lease; one that an owner who is dead left is replaced.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._owner = uuid4().hex
        draft = file.with_name(f"{file.name}.{self._owner}")
        facts = {"owner": self._owner, "host": node(), "pid": os.getpid()}
        draft.write_text(json.dumps(facts))
        draft.replace(file)
        self._is_released = Event()
        self._thread = Thread(target=self._beat, daemon=True)
        self._thread.start()

    @property
    def is_ours(self) -> bool:
        """Whether nobody else has taken it meanwhile."""
        found = holder(self._file)
        return found is None or found.owner == self._owner

    def release(self) -> None:
        """Let others have it."""
        self._is_released.set()
        self._thread.join()
        if self.is_ours:
            self._file.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._is_released.wait(BEAT):
            if not self.is_ours:
                _give_way(self._file)
            with suppress(OSError):  # a disk that fails for a moment
                os.utime(self._file)


def _give_way(file: Path) -> None:
    """End this process: it was stopped for so long that another one writes to its directory."""
    where = printable(str(file.parent))
    print(f"error: {where} was taken by {holder(file)}; this process ends", file=sys.stderr)
    sys.stderr.flush()
    os._exit(1)


def keeps_lease() -> bool:
    """Whether directories are to be leased."""
    return _leased.get()
