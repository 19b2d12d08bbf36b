"""The line at the bottom of a terminal that moves."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from typing import Any

from tqdm import tqdm

FORMAT = "{desc} {bar:20} {n_fmt}/{total_fmt}  {told}"


class Bar:
    """Shows how far an epoch has come; lines that are printed meanwhile stand above it.

    It is drawn when it is told something new, and by no thread of its own.
    """

    def __init__(self) -> None:
        self._line = _Line(file=sys.stdout, bar_format=FORMAT, leave=False, dynamic_ncols=True)
        self._streams = ExitStack()
        if sys.stderr.isatty():
            self._streams.enter_context(redirect_stderr(self._above(sys.stderr)))
        self._screen = self._streams.enter_context(redirect_stdout(self._above(sys.stdout)))

    def show(self, description: str, completed: int, total: int | None, told: str) -> None:
        """Draw it anew."""
        # The last batch may lead beyond the end, which tqdm takes for an end that is not known.
        self._line.total = None if total is None else max(total, completed)
        self._line.n, self._line.told = completed, told
        self._line.set_description_str(description, refresh=True)

    def print(self, line: str) -> None:
        """A line above it."""
        self._screen.write(f"{line}\n")

    def close(self) -> None:
        """Take it away, and give the streams back."""
        self._line.close()
        self._streams.close()

    def _above(self, stream: Any) -> Any:
        above = _Above(stream, self._line)
        self._streams.callback(above.end)
        for handler in logging.root.handlers:  # each keeps the stream that there was at its start
            if isinstance(handler, logging.StreamHandler) and handler.stream is stream:
                handler.setStream(above)
                self._streams.callback(handler.setStream, stream)
        return above


class _Line(tqdm):  # type: ignore[type-arg]
    monitor_interval = 0  # no thread that looks whether it moves
    told = ""

    @property
    def format_dict(self) -> dict[str, Any]:
        return {**super().format_dict, "told": self.told}


class _Above:
    """A stream whose whole lines are put above another one; one without an end waits for it."""

    def __init__(self, stream: Any, line: _Line) -> None:
        self._stream = stream
        self._line = line
        self._unfinished = ""

    def write(self, text: str) -> int:
        lines, end, self._unfinished = (self._unfinished + text).rpartition("\n")
        if end:
            self._put(lines + end)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def end(self) -> None:
        if self._unfinished:
            self._put(self._unfinished)

    def _put(self, text: str) -> None:
        with self._line.external_write_mode(file=self._line.fp):
            self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
