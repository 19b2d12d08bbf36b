"""A lock on a directory: one process at a time writes to it."""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from legoloop.core.errors import ConfigError
from legoloop.core.run_directory import Kind, lease_name, lock_name
from legoloop.state.lease import Holder, Lease, is_alive, keeps_lease, living_holder

if TYPE_CHECKING:
    from filelock import BaseFileLock

PATIENCE = 10.0
"""Seconds that others may look at a lock without a pause; each look takes microseconds."""


class DirectoryLock:
    """Locks a directory for this process, until ``release`` or the end of the process.

    The directory is made if need be. The operating system releases the lock of a process that was
    killed. Inside of ``leased()``, other machines are told by a lease beside the lock.

    Args:
        directory (Path): the directory to lock.
        kind (str): ``run`` or ``sweep``; a sweep and its runs have directories of their own.

    Raises ConfigError if another process holds the lock, or the directory cannot be made.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "new"
    >>> lock = DirectoryLock(folder, "run")
    >>> is_locked(folder, "run")
    True
    >>> lock.release()
    >>> is_locked(folder, "run")
    False
    """

    def __init__(self, directory: Path, kind: Kind) -> None:
        from filelock import Timeout

        self.directory = directory
        self._lock = _lock(directory, kind)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._acquire()
            self._lease = self._leased(directory / lease_name(kind), kind)
        except Timeout:
            raise _in_use(directory, kind) from None
        except OSError as error:
            raise ConfigError(
                f"{directory} cannot be made ({error.strerror})",
                key=f"hydra.{kind}.dir",
                remedy="choose another",
            ) from error

    def release(self) -> None:
        """Let other processes lock the directory."""
        if self._lease is not None:
            self._lease.release()
        self._lock.release()

    def _leased(self, file: Path, kind: Kind) -> Lease | None:
        """The lease, if there is to be one; ConfigError if another machine has it."""
        found = living_holder(file, Path(self._lock.lock_file))
        if found is not None:
            self._lock.release()
            raise _in_use(self.directory, kind, found)
        if keeps_lease():
            return Lease(file)
        file.unlink(missing_ok=True)
        return None

    def _acquire(self) -> None:
        """Take the lock, unless a process has it; whoever looks at it is waited for.

        Raises Timeout if a process has it.
        """
        from filelock import Timeout

        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                self._lock.acquire(blocking=False)
                return
            except Timeout:
                if _is_held(Path(self._lock.lock_file)) or time.monotonic() > give_up:
                    raise
            time.sleep(0.001)


def _in_use(directory: Path, kind: Kind, by: Holder | None = None) -> ConfigError:
    return ConfigError(
        f"{directory} is in use by a {kind} that has not ended" + (f", {by}" if by else ""),
        key=f"hydra.{kind}.dir",
        remedy="wait for it, or choose another directory",
    )


def is_locked(directory: Path, kind: Kind) -> bool:
    """Whether a process holds the lock at this moment; nothing is created to find out.

    One on another machine holds it as long as its lease shows that it lives. Whoever takes the lock
    at the same moment gets it.

    >>> is_locked(Path("nowhere"), "run")
    False
    """
    return _is_held(directory / lock_name(kind)) or is_alive(directory / lease_name(kind))


def _is_held(file: Path) -> bool:
    """Whether a lock file is locked by more than a look."""
    try:
        import fcntl

        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    except ImportError:  # Windows
        return _cannot_be_taken(file)
    except OSError:
        return False
    try:
        # Shared: it fails if a process has the lock, and not if others look.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(handle, fcntl.LOCK_UN)  # a process that is forked meanwhile has it too
    except (BlockingIOError, PermissionError):
        return True
    except OSError as error:
        return error.errno == errno.ENOSYS and _cannot_be_taken(file)
    finally:
        os.close(handle)
    return False


def _cannot_be_taken(file: Path) -> bool:
    """The same by trying to take it, where there are no shared locks."""
    from filelock import FileLock, Timeout

    with suppress(OSError):
        try:
            if file.exists():
                FileLock(file, thread_local=False).acquire(blocking=False).lock.release()
        except Timeout:
            return True
    return False


def _lock(directory: Path, kind: Kind) -> BaseFileLock:
    from filelock import FileLock

    return FileLock(directory / lock_name(kind), thread_local=False)
