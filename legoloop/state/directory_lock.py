"""A lock on a directory: one process at a time writes to it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from legoloop.core.errors import ConfigError
from legoloop.core.run_directory import Kind, lock_name

if TYPE_CHECKING:
    from filelock import BaseFileLock


class DirectoryLock:
    """Locks a directory for this process, until ``release`` or the end of the process.

    The directory is made if need be. The operating system releases the lock of a process that was
    killed.

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
            self._lock.acquire(blocking=False)
        except Timeout:
            raise ConfigError(
                f"{directory} is in use by a {kind} that has not ended",
                key=f"hydra.{kind}.dir",
                remedy="wait for it, or choose another directory",
            ) from None
        except OSError as error:
            raise ConfigError(
                f"{directory} cannot be made ({error.strerror})",
                key=f"hydra.{kind}.dir",
                remedy="choose another",
            ) from error

    def release(self) -> None:
        """Let other processes lock the directory."""
        self._lock.release()


def is_locked(directory: Path, kind: Kind) -> bool:
    """Whether a process holds the lock at this moment; nothing is created to find out.

    >>> is_locked(Path("nowhere"), "run")
    False
    """
    from filelock import Timeout

    lock = _lock(directory, kind)
    if not Path(lock.lock_file).exists():
        return False
    with suppress(OSError):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return True
        lock.release()
    return False


def _lock(directory: Path, kind: Kind) -> BaseFileLock:
    from filelock import FileLock

    return FileLock(directory / lock_name(kind), thread_local=False)
