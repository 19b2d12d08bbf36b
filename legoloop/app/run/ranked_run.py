"""A run whose training is done by several ranks: the process that starts them and records it."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from legoloop.app.run.distributed_run import DistributedRun
from legoloop.app.run.rank_files import RankFailure, RankFiles
from legoloop.core.errors import DataError
from legoloop.core.exit_status import cause_of_death
from legoloop.core.interruption import Interrupted
from legoloop.core.run_directory import LOG

log = logging.getLogger("legoloop")

SHUTDOWN_TIMEOUT = 5
"""Seconds after which ranks that are left behind are killed."""


class RankedRun(DistributedRun):
    """The training of a run by ranks that it starts as processes, with torch's elastic launcher.

    Each builds the app of the blueprint; rank 0 writes to the run directory.
    """

    _files: RankFiles | None = None

    def interrupt(self, interruption: BaseException) -> None:
        """Hand a signal on to the ranks: they end at the same step, and save."""
        if self._files is None or not isinstance(interruption, Interrupted):
            raise interruption
        self._files.write_interruption(interruption.number)
        for process in self._files.processes().values():
            with suppress(ProcessLookupError):
                os.kill(process, interruption.number)

    def run(self) -> None:
        """Train; return when all ranks are done.

        Raises Interrupted if they were interrupted, and DataError with the message of the first
        that failed.
        """
        with tempfile.TemporaryDirectory(prefix="legoloop-ranks-") as folder:
            self._files = RankFiles(Path(folder))
            try:
                self._run(self._files)
            finally:
                self._read_outcome(self._files)
                self._files = None

    def _run(self, files: RankFiles) -> None:
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

        run_log = Path(self._blueprint.settings.run_dir) / LOG
        files.write_task(self._task(run_log if run_log.exists() else None))
        try:
            self._launch(files)
        except ChildFailedError as error:
            died = {rank: failure.exitcode for rank, failure in error.failures.items()}
            raise _cause(files, died, self._blueprint.settings.ranks) from None
        except BaseException:
            _kill(files)
            raise

    def _launch(self, files: RankFiles) -> None:
        """Start the ranks, and wait for them."""
        import torch
        from torch.distributed.launcher.api import LaunchConfig, elastic_launch

        ranks = self._blueprint.settings.ranks
        known = {each.name for each in fields(LaunchConfig)}  # that of torch 2.11 knows no timeout
        timeout: Any = {"shutdown_timeout": SHUTDOWN_TIMEOUT} if "shutdown_timeout" in known else {}
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=ranks,
            run_id=files.folder.name,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            **timeout,
            # Those that interrupt a run are handed on by us.
            signals_to_handle="SIGHUP,SIGQUIT",
        )
        threads = max(1, torch.get_num_threads() // ranks)
        wanted = {
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        command = ("-m", "legoloop.app.run.rank_process", str(files.folder), str(os.getpid()))
        with _environment(wanted), _handlers_kept(), _quiet_launcher():
            elastic_launch(config, sys.executable)(*command)

    def _read_outcome(self, files: RankFiles) -> None:
        with suppress(FileNotFoundError):
            self._outcome = files.outcome()


def _cause(files: RankFiles, died: Mapping[int, int], ranks: int) -> BaseException:
    """What ended the ranks: a rank that lost another one is not it."""
    failures = {rank: files.failure(rank) for rank in range(ranks)}
    said = [(failure.time, rank, failure) for rank, failure in failures.items() if failure]
    for _, rank, failure in sorted(said, key=lambda each: each[:2]):
        if failure.kind == "interrupted":
            return Interrupted(failure.signal or signal.SIGTERM)
        if failure.kind != "lost":
            return _as_error(rank, failure)
    for rank, status in died.items():
        if status < 0 and status != -signal.SIGTERM and failures[rank] is None:
            return DataError(f"rank {rank} was {cause_of_death(status)}")
    for _, rank, failure in sorted(said, key=lambda each: each[:2]):
        return _as_error(rank, failure)
    first = min(died)
    return DataError(f"rank {first} ended with exit status {died[first]} without a word")


def _as_error(rank: int, failure: RankFailure) -> DataError:
    if failure.kind == "bug":
        print(failure.trace, file=sys.stderr)
        log.info("rank %d failed: %s", rank, failure.trace)
    about = "" if f"rank {rank}:" in failure.message else f"rank {rank}: "
    return DataError(f"{about}{failure.message}")


def _kill(files: RankFiles) -> None:
    for process in files.processes().values():
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process, signal.SIGKILL)


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
