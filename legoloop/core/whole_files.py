"""Files and folders that are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path to write to; it becomes ``path`` when the block ends without an error.

    The folder is made if need be. The file and its new name are on the disk afterwards.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with whole_file(folder / "new" / "notes.txt") as draft:
    ...     _ = draft.write_text("done")
    >>> (folder / "new" / "notes.txt").read_text()
    'done'
    """
    final, draft = _prepared(path)
    try:
        yield draft
        _sync(draft)
        draft.replace(final)
        _sync(final.parent)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary folder to fill; it becomes ``path`` when the block ends without an error.

    An older folder of that name is replaced.

    >>> import tempfile
    >>> final = Path(tempfile.mkdtemp()) / "100"
    >>> with whole_folder(final) as draft:
    ...     _ = (draft / "state").write_text("all")
    >>> [file.name for file in final.iterdir()]
    ['state']
    """
    final, draft = _prepared(path)
    shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed and had this number
    draft.mkdir()
    try:
        yield draft
        for inside in (*draft.rglob("*"), draft):
            _sync(inside)
        if final.exists():
            shutil.rmtree(final)
        draft.replace(final)
        _sync(final.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _prepared(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    return final, final.with_name(f".{final.name}.{os.getpid()}.draft")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
