"""Standard output and error that end nothing: a run goes on when nobody reads what it prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def tolerant_output() -> Iterator[None]:
    """While inside, what cannot be printed is lost, and ends nothing.

    A pipe whose reader is gone (``| head``), a full disk, a terminal that was closed: a warning on
    the other stream says so, once. A stream that was closed from the beginning (``>&-``) is the
    null device. Characters that the encoding does not know are escaped.

    >>> with tolerant_output():
    ...     print("still here")
    still here
    """
    before = sys.stdout, sys.stderr
    nulls = ExitStack()
    out, err = _tolerant(before[0], 1, nulls), _tolerant(before[1], 2, nulls)
    for name, stream, other in (("standard output", out, err), ("standard error", err, out)):
        if stream.on_loss is None:
            stream.on_loss = _warning(name, other)
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        for stream in (out, err):
            stream.flush()
        # What was printed to a bar, or to a notebook's cell, may have been put in their place.
        if sys.stdout is out:
            sys.stdout = before[0]
        if sys.stderr is err:
            sys.stderr = before[1]
        nulls.close()


def expect_lost_reader() -> None:
    """Whoever reads the standard output may close it, without a warning (``--help | head``)."""
    stream = sys.stdout
    if isinstance(stream, TolerantStream) and (warn := stream.on_loss) is not None:
        stream.on_loss = lambda error: None if isinstance(error, BrokenPipeError) else warn(error)


def discard_output(stream: Any) -> None:
    """What is still buffered, and whatever is printed from now on, goes to the null device.

    Otherwise the interpreter would fail to write it at its exit.
    """
    with suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


class TolerantStream:
    """A text stream that loses what it cannot write; all else is as with the stream itself."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._is_lost = False
        self.on_loss: Callable[[Exception], None] | None = None

    def write(self, text: str) -> int:
        """Write text, as far as that can be done; the number of its characters."""
        try:
            self._stream.write(text)
        except UnicodeEncodeError as error:
            self.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
        except (OSError, ValueError) as error:
            self._lose(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several pieces of text."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Pass on what is buffered, as far as that can be done."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        if not self._is_lost:
            self._is_lost = True
            discard_output(self._stream)
            if self.on_loss is not None:
                self.on_loss(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _tolerant(stream: Any, number: int, nulls: ExitStack) -> TolerantStream:
    if isinstance(stream, TolerantStream):
        return stream
    if stream is None:
        stream = nulls.enter_context(Path(os.devnull).open("w"))  # noqa: SIM115
        try:
            os.fstat(number)
        except OSError:  # what is opened next must not get this number
            os.dup2(stream.fileno(), number)
    return TolerantStream(stream)


def _warning(name: str, other: TolerantStream) -> Callable[[Exception], None]:
    def warn(error: Exception) -> None:
        reason = getattr(error, "strerror", None) or error
        other.write(
            f"warning: the {name} cannot be written to ({reason}); what is printed is lost\n"
        )
        other.flush()

    return warn


def silence() -> None:
    """Print nothing more, as a rank does whose output rank 0 prints too."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    os.close(nothing)
