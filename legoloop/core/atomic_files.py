"""Atomic file and directory writes: complete or not there, even after a crash."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from itertools import count
from pathlib import Path
from typing import BinaryIO, TypeVar

from legoloop.core.errors import DataError

TEMP, BACKUP = "tmp", "bak"
MAX_WAITING = 8
"""The number of files that wait for the disk at once."""

T = TypeVar("T")


_together: ContextVar[dict[Path, Path] | None] = ContextVar("written_together", default=None)
"""Of the files that wait for each other: the temporary one by its final path."""


@contextmanager
def atomic_write(path: str | os.PathLike[str], durable: bool = True) -> Iterator[Path]:
    """A temporary path to write to; it becomes ``path`` when the block ends without an error.

    The folder is made if need be. The file and its new name are on the disk afterwards, or after
    the block of ``written_together`` that this is in. Raises DataError if they cannot be.

    Args:
        path: the file.
        durable (bool): False: it may be lost, or empty, if the power fails; a killed process leaves
            the old content or the new one all the same. For what can be written again.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_write(folder / "new" / "notes.txt") as temporary:
    ...     _ = temporary.write_text("done")
    >>> (folder / "new" / "notes.txt").read_text()
    'done'
    """
    with _telling(path):
        final, temporary = _prepare(path)
        try:
            yield temporary
            waiting = _together.get()
            if waiting is not None:
                waiting[final] = temporary
                return
            if durable:
                _sync(temporary)
            temporary.replace(final)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if durable:
            _sync(final.parent)


@contextmanager
def written_together() -> Iterator[None]:
    """Files that ``atomic_write`` writes inside are put in place at the end, however it ends.

    They share two passes to the disk, one of contents and one of names, which takes a fraction of
    two for each of them. Raises DataError if one cannot be written.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with written_together():
    ...     for name in ("a", "b"):
    ...         with atomic_write(folder / name) as temporary:
    ...             _ = temporary.write_text(name)
    ...     list(folder.glob("[ab]"))
    []
    >>> sorted(file.name for file in folder.iterdir())
    ['a', 'b']
    """
    waiting: dict[Path, Path] = {}
    token = _together.set(waiting)
    try:
        yield
    finally:
        _together.reset(token)
        try:
            _at_once(_sync_for, waiting.items())
            for final, temporary in waiting.items():
                with _telling(final):
                    temporary.replace(final)
        except BaseException:
            for temporary in waiting.values():
                temporary.unlink(missing_ok=True)
            raise
        _at_once(_sync_for, {final.parent: (final, final.parent) for final in waiting}.values())


@contextmanager
def atomic_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary folder to fill; it becomes ``path`` when the block ends without an error.

    An older folder of that name is replaced. At every moment one of the two is whole: a process
    that is killed may leave a backup of the older one, which ``backups_in`` lists.

    >>> import tempfile
    >>> final = Path(tempfile.mkdtemp()) / "100"
    >>> with atomic_directory(final) as temporary:
    ...     _ = (temporary / "state").write_text("all")
    >>> [file.name for file in final.iterdir()]
    ['state']
    """
    final, temporary = _prepare(path)
    temporary.mkdir()
    try:
        yield temporary
        _at_once(_sync, [*temporary.rglob("*"), temporary])
        _put_in_place(temporary, final)
        _sync(final.parent)
    except BaseException:
        _delete(temporary)
        raise
    for older in backups_in(final.parent, final.name):
        remove_directory(older)


def describe_os_error(path: str | os.PathLike[str], error: OSError) -> str:
    """Why a path cannot be written, as the system says, and the space that is free there.

    >>> describe_os_error("nowhere/at/all", OSError(28, "No space left on device")).split(",")[0]
    'No space left on device'
    """
    there = next(parent for parent in Path(path).absolute().parents if parent.exists())
    return f"{error.strerror}, {shutil.disk_usage(there).free} bytes are free"


def remove_directory(path: Path) -> None:
    """Remove a folder so that half of it is never there under its own name.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "100"
    >>> folder.mkdir()
    >>> remove_directory(folder)
    >>> folder.exists()
    False
    """
    removed = _temporary_of(path)
    _delete(removed)
    path.replace(removed)
    _delete(removed)


def remove_temporaries(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder that no other process writes to.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / ".100.4711.tmp").mkdir()
    >>> remove_temporaries(folder)
    >>> list(folder.iterdir())
    []
    """
    for temporary in folder.glob(f".*.*.{TEMP}"):
        _delete(temporary)


def backups_in(folder: Path, name: str | None = None) -> list[Path]:
    """The backups of folders, of one name if given, that a process was killed while replacing.

    Each of them is whole.

    >>> backups_in(Path("nowhere"), "100")
    []
    """
    found = sorted(folder.glob(f".*.*.{BACKUP}"))
    return [path for path in found if name is None or path.name.rsplit(".", 2)[0] == f".{name}"]


def start_writeback(file: BinaryIO, start: int, size: int) -> None:
    """Hint the kernel to start writing dirty pages (``posix_fadvise``), where there is such a call.

    Returns at once and promises nothing; a later ``fsync`` has less left to wait for.

    Args:
        file (BinaryIO): the open file.
        start (int): the first byte to write back.
        size (int): the number of bytes.

    >>> import tempfile
    >>> with tempfile.TemporaryFile() as file:
    ...     start_writeback(file, 0, file.write(bytes(1000)))
    """
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(file.fileno(), start, size, os.POSIX_FADV_DONTNEED)


def _put_in_place(temporary: Path, final: Path) -> None:
    if not os.path.lexists(final):
        temporary.replace(final)
        return
    # A folder cannot be renamed onto one that is not empty.
    backup = next(
        path
        for number in count()
        if not os.path.lexists(path := final.with_name(f".{final.name}.{number}.{BACKUP}"))
    )
    final.replace(backup)
    try:
        temporary.replace(final)
    except BaseException:
        if not os.path.lexists(final):
            backup.replace(final)
        raise


def _prepare(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_of(final)
    _delete(temporary)  # of a process that was killed and had this number
    return final, temporary


def _temporary_of(final: Path) -> Path:
    return final.with_name(f".{final.name}.{os.getpid()}.{TEMP}")


def _delete(path: Path) -> None:
    """Remove a file, a link or a folder, as far as that can be done."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _telling(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{path} cannot be written ({describe_os_error(path, error)})") from error


def _at_once(function: Callable[[T], None], each: Iterable[T]) -> None:
    """Call it for each from threads: a file system serves at once those that wait for the disk."""
    with ThreadPoolExecutor(MAX_WAITING) as pool:
        list(pool.map(function, each))


def _sync_for(pair: tuple[Path, Path]) -> None:
    """Sync the second path for the sake of the first, which is told if that fails."""
    told, path = pair
    with _telling(told):
        _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
