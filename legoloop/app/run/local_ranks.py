"""The ranks of one machine: processes that torch's elastic launcher starts."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from legoloop.app.run.rank_files import Outcome, RankFailure, RankFiles, RankTask
from legoloop.core.errors import DataError
from legoloop.core.exit_status import cause_of_death
from legoloop.core.interruption import Interrupted

log = logging.getLogger("legoloop")

SHUTDOWN_TIMEOUT = 5
"""Seconds after which ranks that are left behind are killed."""
RENDEZVOUS_TIMEOUT = 60
"""Seconds that machines wait for each other that have just said that they are there."""


@dataclass(frozen=True)
class Place:
    """The place of a machine among those that train a run.

    Args:
        number: of the machine, from 0.
        count: how many there are.
        endpoint: where they meet, as ``host:port``.

    >>> Place(1, 2).ranks(8)
    range(4, 8)
    """

    number: int = 0
    count: int = 1
    endpoint: str = "localhost:0"

    def ranks(self, size: int) -> range:
        """Which of so many ranks the machine has."""
        here = size // self.count
        return range(self.number * here, (self.number + 1) * here)


@dataclass(frozen=True)
class Report:
    """How those ranks ended that failed; false if none did.

    Args:
        failures: what they said, by rank.
        died: their exit statuses, by rank.
    """

    failures: dict[int, RankFailure] = field(default_factory=dict)
    died: dict[int, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.failures or self.died)

    def __or__(self, other: Report) -> Report:
        return Report(self.failures | other.failures, self.died | other.died)

    def cause(self) -> BaseException:
        """What ended the ranks: a rank that lost another one is not it."""
        said = sorted(self.failures.items(), key=lambda each: (each[1].time, each[0]))
        for rank, failure in said:
            if failure.kind == "interrupted":
                return Interrupted(failure.signal or signal.SIGTERM)
            if failure.kind != "lost":
                return _as_error(rank, failure)
        for rank, status in self.died.items():
            if status < 0 and status != -signal.SIGTERM and rank not in self.failures:
                return DataError(f"rank {rank} was {cause_of_death(status)}")
        for rank, failure in said:
            return _as_error(rank, failure)
        first = min(self.died)
        return DataError(f"rank {first} ended with exit status {self.died[first]} without a word")


class LocalRanks:
    """The ranks of this machine; a context, after which nothing is left of them.

    Args:
        place: of this machine among those of the run.
    """

    def __init__(self, place: Place | None = None) -> None:
        self.place = place or Place()
        self._folder = TemporaryDirectory(prefix="legoloop-ranks-")
        self._files = RankFiles(Path(self._folder.name))
        self._ended_at: float | None = None

    def __enter__(self) -> LocalRanks:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    @property
    def interruption(self) -> int | None:
        """The number of the signal that they were sent, if they were."""
        return self._files.interruption()

    def interrupt(self, number: int) -> None:
        """Hand a signal on: they, and those of other machines, end at the same step, and save.

        Those that are yet to start end when they have.
        """
        self._files.write_interruption(number)
        for process in self._files.processes().values():
            with suppress(ProcessLookupError):
                os.kill(process, number)

    def end(self) -> None:
        """Kill them; those that are yet to start end when they have."""
        self._ended_at = time.time()
        self._files.write_interruption(signal.SIGTERM)
        for process in self._files.processes().values():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process, signal.SIGKILL)

    def train(self, task: RankTask) -> Report:
        """Start them, and wait for them.

        Args:
            task: what they and those of other machines train.

        Returns how those ended that failed by themselves.
        """
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

        self._files.write_task(task)
        try:
            self._launch(task.ranks)
        except ChildFailedError as error:
            failures = self._files.failures()
            if self._ended_at is not None:
                since = self._ended_at
                return Report({rank: each for rank, each in failures.items() if each.time < since})
            died = {rank: failure.exitcode for rank, failure in error.failures.items()}
            return Report(failures, died)
        except BaseException:
            self.end()
            raise
        return Report()

    def outcome(self) -> Outcome | None:
        """How the training ended, if rank 0 is here and has reported it."""
        with suppress(FileNotFoundError):
            return self._files.outcome()
        return None

    def _launch(self, size: int) -> None:
        import torch
        from torch.distributed.launcher.api import LaunchConfig, elastic_launch

        ranks = len(self.place.ranks(size))
        known = {each.name for each in fields(LaunchConfig)}  # that of torch 2.11 knows no timeout
        timeout: Any = {"shutdown_timeout": SHUTDOWN_TIMEOUT} if "shutdown_timeout" in known else {}
        config = LaunchConfig(
            min_nodes=self.place.count,
            max_nodes=self.place.count,
            nproc_per_node=ranks,
            max_restarts=0,
            **self._rendezvous(),
            **timeout,
            # Those that interrupt a run are handed on by us.
            signals_to_handle="SIGHUP,SIGQUIT",
        )
        threads = max(1, torch.get_num_threads() // ranks)
        wanted = {
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        command = ("-m", "legoloop.app.run.rank_process", self._folder.name, str(os.getpid()))
        with _environment(wanted), _handlers_kept(), _quiet_launcher():
            elastic_launch(config, sys.executable)(*command)

    def _rendezvous(self) -> dict[str, Any]:
        """Of one machine with itself, or of several, whose numbers are known."""
        if self.place.count == 1:
            return {
                "run_id": Path(self._folder.name).name,
                "rdzv_backend": "c10d",
                "rdzv_endpoint": self.place.endpoint,
                "local_addr": "localhost",
            }
        return {
            "run_id": "legoloop",
            "rdzv_backend": "static",
            "rdzv_endpoint": self.place.endpoint,
            "rdzv_configs": {"rank": self.place.number, "timeout": RENDEZVOUS_TIMEOUT},
        }


def _as_error(rank: int, failure: RankFailure) -> DataError:
    if failure.kind == "bug":
        print(failure.trace, file=sys.stderr)
        log.info("rank %d failed: %s", rank, failure.trace)
    about = "" if f"rank {rank}:" in failure.message else f"rank {rank}: "
    return DataError(f"{about}{failure.message}")


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in (*values, "TORCHELASTIC_SIGNALS_TO_HANDLE")}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """The launcher leaves its handlers of signals behind."""
    numbers = (signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        with suppress(ValueError):  # outside of the main thread none were set
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _quiet_launcher() -> Iterator[None]:
    """The launcher's forty lines about one error, in which its message is lost."""
    launcher = logging.getLogger("torch.distributed")
    level = launcher.level
    launcher.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        launcher.setLevel(level)
