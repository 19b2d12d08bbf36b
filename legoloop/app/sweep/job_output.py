"""Where a job of a sweep prints to: a file of its own, beside what it writes."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path

from legoloop.core.record_files import open_regular

MOST_OF_THE_END = 2**16
"""Bytes at the end of a file that are looked at for the last error."""


def open_output(file: Path) -> int:
    """A descriptor of the file, at whose end all that write to it append.

    Raises OSError if it cannot be opened, or is no regular file.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK
    descriptor = os.open(file, flags, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{file} is not a regular file")
    return descriptor


@contextmanager
def output_to(file: Path) -> Iterator[None]:
    """While inside, what is printed goes to the end of a file; by libraries in C and children too.

    A file that cannot be written to changes nothing but a warning.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "output.log"
    >>> with output_to(file):
    ...     print("0.5")
    >>> file.read_text()
    '0.5\\n'
    """
    try:
        descriptor = open_output(file)
    except OSError as error:
        print(f"warning: {file} cannot be written to ({error.strerror})", file=sys.stderr)
        yield
        return
    before = sys.stdout, sys.stderr
    with ExitStack() as undo:
        log = undo.enter_context(
            open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace")
        )
        _flush(*before)
        for number in (1, 2):
            undo.enter_context(_pointed_at(descriptor, number))
        # Handlers of logging hold these: what they wrote meanwhile belongs into the file too.
        undo.callback(_flush, *before)
        undo.enter_context(redirect_stdout(log))
        undo.enter_context(redirect_stderr(log))
        yield


def last_error(file: Path) -> str | None:
    """The last error that a job printed, without the word; None if there is none to be read.

    >>> last_error(Path("no such file")) is None
    True
    """
    try:
        with open_regular(file) as opened:
            size = opened.seek(0, os.SEEK_END)
            opened.seek(max(0, size - MOST_OF_THE_END))
            lines = opened.read(MOST_OF_THE_END).decode(errors="replace").splitlines()
    except (OSError, ValueError):
        return None
    told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return told[-1] if told else None


@contextmanager
def _pointed_at(descriptor: int, number: int) -> Iterator[None]:
    """A standard descriptor is a copy of another one inside."""
    try:
        saved = os.dup(number)
    except OSError:  # it is closed
        yield
        return
    os.dup2(descriptor, number)
    try:
        yield
    finally:
        os.dup2(saved, number)
        os.close(saved)


def _flush(*streams: object) -> None:
    for stream in streams:
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()  # type: ignore[attr-defined]
