"""A progress bar at the bottom of the terminal, by tqdm."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from typing import Any

from tqdm import tqdm

FORMAT = "{desc} {bar:20} {n_fmt}/{total_fmt}  {columns}"


class ProgressBar:
    """Shows the progress of an epoch; what is printed meanwhile appears above it.

    It is redrawn by ``show`` only, without a thread.
    """

    def __init__(self) -> None:
        self._line = _TqdmLine(file=sys.stdout, bar_format=FORMAT, leave=False, dynamic_ncols=True)
        self._streams = ExitStack()
        if sys.stderr.isatty():
            self._streams.enter_context(redirect_stderr(self._print_above(sys.stderr)))
        self._screen = self._streams.enter_context(redirect_stdout(self._print_above(sys.stdout)))

    def show(self, description: str, completed: int, total: int | None, columns: str) -> None:
        """Redraw the bar."""
        # The last batch may exceed the total; tqdm would then treat the total as unknown.
        self._line.total = None if total is None else max(total, completed)
        self._line.n, self._line.columns = completed, columns
        self._line.set_description_str(description, refresh=True)

    def print(self, line: str) -> None:
        """Print a line above the bar."""
        self._screen.write(f"{line}\n")

    def close(self) -> None:
        """Remove the bar and restore the streams."""
        self._line.close()
        self._streams.close()

    def _print_above(self, stream: Any) -> Any:
        above = _PrintAbove(stream, self._line)
        self._streams.callback(above.end)
        for handler in logging.root.handlers:  # each holds the stream that it was created with
            if isinstance(handler, logging.StreamHandler) and handler.stream is stream:
                handler.setStream(above)
                self._streams.callback(handler.setStream, stream)
        return above


class _TqdmLine(tqdm):  # type: ignore[type-arg]
    monitor_interval = 0  # no monitor thread
    columns = ""

    @property
    def format_dict(self) -> dict[str, Any]:
        return {**super().format_dict, "columns": self.columns}


class _PrintAbove:
    """A stream that prints complete lines above the bar, and buffers incomplete ones."""

    def __init__(self, stream: Any, line: _TqdmLine) -> None:
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
