"""Where one of several runs of a process prints and logs to."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from legoloop.app.sweep.job_output import open_output


class MemberOutput:
    """The output of a run that takes turns with others in this process.

    It is made while the logging of the process is set up for the run, and takes that over. What is
    printed by Python at its turns goes to its file, or is shown behind its number.

    Args:
        number (int): of the job.
        file (Path | None): takes what the run prints; None: it is shown.

    >>> output = MemberOutput(3, None)
    >>> with output.at_work():
    ...     print("0.5")
    [3] 0.5
    >>> output.close()
    """

    def __init__(self, number: int, file: Path | None) -> None:
        self._stream: Any = _Numbered(number, sys.stdout) if file is None else _opened(file)
        self._root = logging.getLogger()
        self._handlers = list(self._root.handlers)
        self._before: tuple[Any, Any, list[logging.Handler]] = (None, None, [])
        shown = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
        for handler in self._handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream in shown:
                handler.setStream(self._stream)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While inside, what is printed and logged is of this run."""
        self.begin_turn()
        try:
            yield
        finally:
            self.end_turn()

    def begin_turn(self) -> None:
        """What is printed and logged from now on is of this run."""
        self._before = sys.stdout, sys.stderr, self._root.handlers
        sys.stdout = sys.stderr = self._stream
        self._root.handlers = self._handlers

    def end_turn(self) -> None:
        """It goes where it went before."""
        sys.stdout, sys.stderr, self._root.handlers = self._before

    def close(self) -> None:
        """Nothing more comes."""
        for handler in self._handlers:
            with suppress(OSError, ValueError):
                handler.flush()
                if _is_of_a_file(handler):
                    handler.close()
        self._stream.flush()
        if not isinstance(self._stream, _Numbered):
            self._stream.close()


class _Numbered:
    """A stream that shows each line behind the number of its job."""

    def __init__(self, number: int, to: TextIO) -> None:
        self._prefix = f"[{number}] "
        self._to = to
        self._line = ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._to.write(f"{self._prefix}{line}\n")
        return len(text)

    def flush(self) -> None:
        self._to.flush()

    def isatty(self) -> bool:
        """Several runs share the terminal, so none may draw on it."""
        return False


def _opened(file: Path) -> Any:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = open_output(file)
    except OSError as error:
        print(f"warning: {file} cannot be written to ({error.strerror})", file=sys.stderr)
        return _Numbered(0, sys.stdout)
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace")


def _is_of_a_file(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.FileHandler)
