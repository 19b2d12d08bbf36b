"""Reads what a run left behind, which may be anything."""

from __future__ import annotations

import stat
from pathlib import Path

from legoloop.core.errors import DataError


def regular_file(path: Path, max_bytes: int) -> int:
    """The size of a regular file of at most so many bytes.

    Raises FileNotFoundError if nothing is there, and DataError if it is something else or larger: a
    pipe or a device would be read for ever.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a"
    >>> _ = path.write_text("abc")
    >>> regular_file(path, max_bytes=3)
    3
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path.name} is not a file")
    if found.st_size > max_bytes:
        raise DataError(f"{path.name} has {found.st_size} bytes, more than {max_bytes}")
    return found.st_size
