"""Files and folders that are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

from legoloop.core.errors import DataError

DRAFT, ASIDE = "draft", "aside"


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path to write to; it becomes ``path`` when the block ends without an error.

    The folder is made if need be. The file and its new name are on the disk afterwards. Raises
    DataError if they cannot be.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_write(folder / "new" / "notes.txt") as draft:
    ...     _ = draft.write_text("done")
    >>> (folder / "new" / "notes.txt").read_text()
    'done'
    """
    try:
        final, draft = _prepared(path)
        try:
            yield draft
            _sync(draft)
            draft.replace(final)
            _sync(final.parent)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({why(path, error)})") from error


@contextmanager
def atomic_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary folder to fill; it becomes ``path`` when the block ends without an error.

    An older folder of that name is replaced. At every moment one of the two is whole: a process
    that is killed may leave the older one set aside, under a name that ``set_aside`` lists.

    >>> import tempfile
    >>> final = Path(tempfile.mkdtemp()) / "100"
    >>> with atomic_directory(final) as draft:
    ...     _ = (draft / "state").write_text("all")
    >>> [file.name for file in final.iterdir()]
    ['state']
    """
    final, draft = _prepared(path)
    draft.mkdir()
    try:
        yield draft
        for inside in (*draft.rglob("*"), draft):
            _sync(inside)
        _put_in_place(draft, final)
        _sync(final.parent)
    finally:
        _delete(draft)
    for older in set_aside(final.parent, final.name):
        remove_folder(older)


def why(path: str | os.PathLike[str], error: OSError) -> str:
    """What the system says of a path that it does not write, and the room that is left there.

    >>> why("nowhere/at/all", OSError(28, "No space left on device")).split(",")[0]
    'No space left on device'
    """
    there = next(parent for parent in Path(path).absolute().parents if parent.exists())
    return f"{error.strerror}, {shutil.disk_usage(there).free} bytes are free"


def remove_folder(path: Path) -> None:
    """Remove a folder so that half of it is never there under its own name.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "100"
    >>> folder.mkdir()
    >>> remove_folder(folder)
    >>> folder.exists()
    False
    """
    doomed = _draft_of(path)
    _delete(doomed)
    path.replace(doomed)
    _delete(doomed)


def remove_temporaries(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder that nobody else writes to.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / ".100.4711.draft").mkdir()
    >>> remove_temporaries(folder)
    >>> list(folder.iterdir())
    []
    """
    for draft in folder.glob(f".*.*.{DRAFT}"):
        _delete(draft)


def set_aside(folder: Path, name: str | None = None) -> list[Path]:
    """The older folders, of one name if given, that a process was killed while replacing.

    Each of them is whole.

    >>> set_aside(Path("nowhere"), "100")
    []
    """
    found = sorted(folder.glob(f".*.*.{ASIDE}"))
    return [path for path in found if name is None or path.name.rsplit(".", 2)[0] == f".{name}"]


def start_writeback(file: BinaryIO, start: int, size: int) -> None:
    """Let the disk begin with bytes that were written, where that can be asked for.

    Nothing waits for it and nothing is promised: only that less is left to do once it is waited
    for. The disk then works while the next bytes are made, not after the last.

    >>> import tempfile
    >>> with tempfile.TemporaryFile() as file:
    ...     start_writeback(file, 0, file.write(bytes(1000)))
    """
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(file.fileno(), start, size, os.POSIX_FADV_DONTNEED)


def _put_in_place(draft: Path, final: Path) -> None:
    if not os.path.lexists(final):
        draft.replace(final)
        return
    # A folder cannot be renamed onto one that is not empty.
    aside = next(
        path
        for number in count()
        if not os.path.lexists(path := final.with_name(f".{final.name}.{number}.{ASIDE}"))
    )
    final.replace(aside)
    try:
        draft.replace(final)
    except BaseException:
        if not os.path.lexists(final):
            aside.replace(final)
        raise


def _prepared(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft_of(final)
    _delete(draft)  # of a process that was killed and had this number
    return final, draft


def _draft_of(final: Path) -> Path:
    return final.with_name(f".{final.name}.{os.getpid()}.{DRAFT}")


def _delete(path: Path) -> None:
    """Remove a file, a link or a folder, as far as that can be done."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
