"""A directory belongs to one process at a time: of several that try, one wins."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from legoloop.core.errors import ConfigError

if TYPE_CHECKING:
    from filelock import BaseFileLock

Kind = Literal["run", "sweep"]


class DirectoryLock:
    """A directory that this process alone writes to, until ``release`` or the process's end.

    ``kind`` says what for: a sweep and its runs have directories of their own. The directory is
    made if need be. The operating system lets go of the claim of a process that was killed.

    Raises ConfigError if another process has it, or it cannot be made.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "new"
    >>> claim = DirectoryLock(folder, "run")
    >>> is_locked(folder, "run")
    True
    >>> claim.release()
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
                f"hydra.{kind}.dir: {directory} is in use by a {kind} that has not ended; "
                "wait for it, or choose another directory"
            ) from None
        except OSError as error:
            raise ConfigError(
                f"hydra.{kind}.dir: {directory} cannot be made ({error.strerror}); choose another"
            ) from error

    def release(self) -> None:
        """Leave the directory to others."""
        self._lock.release()


def is_locked(directory: Path, kind: Kind) -> bool:
    """Whether some process has the directory at this moment; nothing is made to find out.

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

    return FileLock(directory / f".{kind}.lock", thread_local=False)
