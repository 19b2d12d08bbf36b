"""One job in a process of its own, as the sweep sees it; run as a module, it is that process.

The two are tied by a connection: the job goes one way, how it ended comes back, and however the
sweep's process ends, the job's process is notified.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from threading import Thread
from typing import IO, TYPE_CHECKING, Any

import cloudpickle

from legoloop.app.startup import gc_tuning
from legoloop.app.sweep.job_output import open_output
from legoloop.core.exit_status import cause_of_death
from legoloop.core.interruption import Interrupted

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

    from legoloop.app.sweep.launchers.jobs import SentJob
    from legoloop.app.sweep.launchers.process_start import ProcessStart

GRACE = 30.0
"""Seconds that a job has to save when its sweep was killed."""


READY = b"ready"
"""What a job's process sends once it has imported all, and a signal is the job's own."""


class JobProcess:
    """A job that is being carried out.

    What its process prints goes to the job's ``output``; without one, the lines are shown behind
    its number.
    """

    def __init__(self, job: SentJob, start: ProcessStart, environment: Mapping[str, str]) -> None:
        self.job = job
        self._passed_on = 0
        self._is_ready = False
        self._returned: bytes | None = None
        self._connection, theirs = Pipe()
        self._shown: list[Thread] = []
        output = _opened(job.output)
        if output is None:
            out, err = self._shown_pipe(sys.stdout), self._shown_pipe(sys.stderr)
        else:
            out, err = output, os.dup(output)
        try:
            self._process = start.start(environment, (theirs.fileno(), out, err))
        finally:
            theirs.close()
            os.close(out)
            os.close(err)
        with suppress(BrokenPipeError):  # it died already, which will be noticed
            self._connection.send_bytes(cloudpickle.dumps(job))

    def _shown_pipe(self, to: IO[str]) -> int:
        """What is written to it is shown."""
        reading, writing = os.pipe()
        self._shown.append(_shown(reading, to, f"[{self.job.number}] "))
        return writing

    def pass_on(self, signals: Sequence[Interrupted]) -> None:
        """Send those of the sweep's signals that the job has not had yet.

        A job whose process is still importing has nothing to save, and is killed.
        """
        self._listen()
        if signals and not self._is_ready:
            self._kill()
            return
        for interruption in signals[self._passed_on :]:
            os.kill(self._process.pid, interruption.number)
        self._passed_on = len(signals)

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        self._listen()
        return self._process.has_ended()

    def end(self) -> JobReturn | str:
        """How the job ended, or what ended its process; all that is left of it is killed."""
        self._kill()
        status = self._process.wait()
        self._listen()
        self._connection.close()
        for thread in self._shown:
            thread.join(timeout=1)
        if self._returned is None:
            return cause_of_death(status)
        returned: JobReturn = cloudpickle.loads(self._returned)
        return returned

    def _kill(self) -> None:
        # Before the process is waited for: until then, no other one can have its number.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _listen(self) -> None:
        with suppress(EOFError, OSError):
            while self._returned is None and self._connection.poll():
                message = self._connection.recv_bytes()
                if message == READY:
                    self._is_ready = True
                else:
                    self._returned = message


def _opened(output: Path | None) -> int | None:
    """A descriptor of the file, in a folder that is made for it; None if there can be none."""
    if output is None:
        return None
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        return open_output(output)
    except OSError:
        return None


def _shown(pipe: int, to: IO[str], prefix: str) -> Thread:
    """Show the lines that come out of a pipe, as they come."""

    def show() -> None:
        with open(pipe, errors="replace") as lines:
            for line in lines:
                to.write(prefix + line.removesuffix("\n") + "\n")
                to.flush()

    thread = Thread(target=show, daemon=True)
    thread.start()
    return thread


def main() -> None:
    """Carry out the job that comes in, and send back how it ended."""
    gc_tuning.defer_gc()
    connection = _connection()
    job: Any = cloudpickle.loads(connection.recv_bytes())
    gc.freeze()  # what that has imported stays: it is not looked at for garbage
    Thread(target=_end_with_the_sweep, args=(connection,), daemon=True).start()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        connection.send_bytes(READY)
        returned = job()
    except KeyboardInterrupt as interruption:
        sys.exit(getattr(interruption, "status", 128 + signal.SIGINT))
    connection.send_bytes(cloudpickle.dumps(returned))


def _connection() -> Connection:
    """What was given as the standard input, of which nothing is left for the job."""
    connection = Connection(os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return connection


def _end_with_the_sweep(connection: Connection) -> None:
    """Nothing more is sent: what comes is the end of the process at the other side."""
    connection.poll(None)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
