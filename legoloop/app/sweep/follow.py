"""Shows how far a sweep is while its jobs are carried out, by this process or by others."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from legoloop.app.run.lifecycle import display_path
from legoloop.app.sweep.block import Progress, block, ended_line
from legoloop.app.sweep.job import Job
from legoloop.app.sweep.watch import WatchedJob, watched
from legoloop.core.output_streams import TolerantStream
from legoloop.core.run_directory import OUTPUT
from legoloop.core.terminal import clipped, has_colours, is_terminal, painted, width_of
from legoloop.core.text import printable
from legoloop.output.scalars.throttle import Throttle

LOOK_EVERY = 0.5
"""Seconds, at least, between two looks at the directories of the jobs."""
MAX_FRACTION = 0.02
"""The share of the time that they may take: on a slow disk they are fewer."""
UP, CLEAR, HIDE, SHOW = "\x1b[{}A", "\r\x1b[J", "\x1b[?25l", "\x1b[?25h"


@contextmanager
def followed(
    jobs: Sequence[Job], launched: Sequence[Job], total: int | None = None
) -> Iterator[Follower]:
    """While inside, it is shown how far the jobs are.

    On a terminal that is one block of lines, which is drawn anew, with the jobs that failed above
    it; elsewhere a line for each job that has ended. The directories of the jobs are looked at by
    a thread: that works with any launcher.

    Args:
        jobs: all jobs of the sweep.
        launched: those of them that have not completed, and are carried out inside.
        total: how many jobs there will be, if more are added later.
    """
    follower = Follower(watched(jobs), {job.number for job in launched}, total)
    thread = threading.Thread(target=follower.follow, daemon=True)
    thread.start()
    try:
        yield follower
    finally:
        follower.stop()
        thread.join()
        follower.end()


class Follower:
    """Looks at the jobs of a sweep and shows what it sees.

    Args:
        jobs: all jobs of the sweep.
        launched: the numbers of those that are carried out.
        total: how many jobs there will be; None: those that there are.
    """

    def __init__(
        self, jobs: Sequence[WatchedJob], launched: set[int], total: int | None = None
    ) -> None:
        done_before = sum(job.is_done for job in jobs)
        self._jobs = list(jobs)
        self._sweep = Progress(self._jobs, time.monotonic(), done_before, total)
        self._awaited = [job for job in jobs if job.number in launched]
        self._added: deque[WatchedJob] = deque()
        self._lines: deque[str] = deque()
        # The jobs point the standard descriptors elsewhere while they run.
        self._out, self._err = _own(sys.stdout), _own(sys.stderr)
        self._is_terminal = is_terminal(self._out)
        self._colours = has_colours(self._out)
        self._drawn = 0
        self._ended = done_before
        self._stop = threading.Event()
        self._throttle = Throttle(MAX_FRACTION, LOOK_EVERY)

    def follow(self) -> None:
        """Look and show, until it is stopped."""
        if self._is_terminal:
            self._draw()
        while not self._stop.wait(LOOK_EVERY / 5):
            if self._throttle.is_due():
                with self._throttle.timed():
                    self.look()

    def add(self, job: WatchedJob) -> None:
        """Look at one more job that is carried out, from any thread."""
        self._added.append(job)

    def print_line(self, line: str) -> None:
        """Print a line; on a terminal above the block, from any thread."""
        self._lines.append(line)

    def look(self) -> None:
        """Look once, and show what is new."""
        while self._lines:
            self._write(self._out, f"{self._taken_away()}{self._lines.popleft()}\n")
        while self._added:
            job = self._added.popleft()
            self._jobs.append(job)
            self._awaited.append(job)
        for job in self._awaited:
            job.look()
        # One that was interrupted may be in the queue again.
        ended = [job for job in self._awaited if job.is_over and job.state != "interrupted"]
        self._awaited = [job for job in self._awaited if job not in ended]
        for job in ended:
            self._tell(job)
        if self._is_terminal:
            self._draw()

    def stop(self) -> None:
        """Let ``follow`` come to its end."""
        self._stop.set()

    def end(self) -> None:
        """Show what has happened since, and of jobs that did not begin why."""
        self.look()
        for job in self._awaited:
            if job.did_not_begin():
                self._tell(job)
        if self._is_terminal:
            self._write(self._out, self._taken_away() + SHOW)
        for stream in (self._out, self._err):
            with suppress(OSError, ValueError):
                stream.close()

    def _tell(self, job: WatchedJob) -> None:
        """Say that a job has ended; on a terminal only of one that failed, in one line."""
        self._ended += 1
        line = ended_line(job, self._ended, self._sweep.number)
        has_failed = job.state == "failed"
        if self._is_terminal and has_failed:
            word = painted("failed", "bad") if self._colours else "failed"
            line = clipped(line, width_of(self._out) - len("failed: "))
            self._write(self._out, f"{self._taken_away()}{word}: {line}\n")
        elif has_failed:
            output = display_path(job.job.directory / OUTPUT)
            self._write(self._err, f"error: {line}; see {printable(str(output))}\n")
        elif not self._is_terminal:
            self._write(self._out, f"{line}\n")

    def _draw(self) -> None:
        width = width_of(self._out)
        lines = block(self._sweep, width, _height(self._out), time.monotonic(), self._colours)
        away = self._taken_away()
        self._drawn = len(lines)
        self._write(self._out, HIDE + away + "\n".join(lines) + "\n")

    def _taken_away(self) -> str:
        if not self._is_terminal:
            return ""
        drawn, self._drawn = self._drawn, 0
        return (UP.format(drawn) if drawn else "") + CLEAR

    def _write(self, stream: Any, text: str) -> None:
        stream.write(text)
        stream.flush()


def _own(stream: Any) -> Any:
    """The stream for this use alone, whatever its descriptor is pointed at meanwhile."""
    try:
        stream.flush()
        copy: TextIO = os.fdopen(
            os.dup(stream.fileno()), "w", encoding=stream.encoding, errors="backslashreplace"
        )
    except (OSError, ValueError, AttributeError):
        return _Uncloseable(stream)
    return TolerantStream(copy)


class _Uncloseable(TolerantStream):
    """A stream that has no descriptor, and is left open."""

    def close(self) -> None:
        """Nothing."""


def _height(stream: Any) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).lines or 24
    except (OSError, ValueError):
        return 24
