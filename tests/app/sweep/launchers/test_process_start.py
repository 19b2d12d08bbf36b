"""Processes of jobs as forks of one interpreter, and as interpreters of their own."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from legoloop.app.sweep.launchers import job_process
from legoloop.app.sweep.launchers.job_process import JobProcess
from legoloop.app.sweep.launchers.process_launcher import ProcessLauncher
from legoloop.app.sweep.launchers.process_start import (
    HYDRA_MODULES,
    TRAINING_MODULES,
    ForkServer,
    NewInterpreters,
    ProcessStart,
)
from legoloop.core.errors import ArgumentError
from tests.app.sweep.launchers.sweeps import begun, ended, facts, is_gone, wait_until

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
JOB = job_process.__name__
PROCESSES = "hydra/launcher=processes"


@dataclass
class Job:
    """What stands for a job of a sweep."""

    does: Callable[[], Any]
    number: int = 0
    output: Path | None = None

    def __call__(self) -> Any:
        return self.does()


@pytest.fixture
def server() -> Iterator[ForkServer]:
    made = ForkServer(JOB, {"OMP_NUM_THREADS": "3"}, ["numpy"])
    yield made
    made.close()


def begin(start: ProcessStart, does: Callable[[], Any], **environment: str) -> JobProcess:
    return JobProcess(Job(does), start, environment)  # type: ignore[arg-type]


def result(process: JobProcess) -> Any:
    wait_until(process.has_ended)
    return process.end()


def waits() -> None:
    time.sleep(600)


def what_it_sees() -> Any:
    drawn = float(np.random.random())
    seen = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MINE", "OTHERS")}
    return os.getppid(), os.getpgid(0) == os.getpid(), os.getcwd(), drawn, seen


@LINUX
def test_forks_of_one_process_have_what_interpreters_of_their_own_have(
    server: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for number, start in enumerate((server, server, NewInterpreters(JOB))):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("OTHERS", str(number))
        found.append(result(begin(start, what_it_sees, MINE="1", OMP_NUM_THREADS="3")))
    parents, *others, drawn, seen = zip(*found, strict=True)
    assert parents[0] == parents[1] != parents[2] == os.getpid()
    assert others == [(True,) * 3, (str(tmp_path),) * 3]
    assert len({*drawn}) == 3
    assert [each.pop("OTHERS") for each in seen] == ["0", "1", "2"]
    assert seen == ({"OMP_NUM_THREADS": "3", "MINE": "1"},) * 3


@LINUX
def test_they_run_beside_each_other_and_leave_no_descriptor(server: ForkServer) -> None:
    result(begin(server, os.getpid))
    here = psutil.Process()
    before = here.num_fds()

    slow, quick = begin(server, waits), begin(server, os.getpid)
    assert isinstance(result(quick), int)
    assert not slow.has_ended()
    assert slow.end() == "killed by SIGKILL (out of memory?)"
    assert here.num_fds() == before


@LINUX
def test_how_a_fork_ended_is_known(server: ForkServer) -> None:
    assert result(begin(server, lambda: os._exit(9))) == "ended with exit status 9 without a word"
    dies = begin(server, lambda: os.kill(os.getpid(), signal.SIGSEGV))
    assert result(dies) == "killed by SIGSEGV"


@LINUX
def test_if_the_server_dies_its_jobs_are_ended_and_the_next_has_another(server: ForkServer) -> None:
    parent = result(begin(server, os.getppid))

    slow = begin(server, waits)
    psutil.Process(parent).kill()
    wait_until(lambda: is_gone(parent))
    assert result(slow) == "killed by SIGKILL (out of memory?)"
    assert result(begin(server, os.getppid)) not in (parent, os.getpid())


@LINUX
@pytest.mark.slow
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_the_launcher_starts_jobs_as_it_is_told(method: str, tmp_path: Path) -> None:
    sweep = begun(tmp_path, PROCESSES, f"hydra.launcher.start_method={method}", "do=a,b")
    assert ended(sweep).status == 0
    one, other = (facts(tmp_path, job) for job in range(2))
    assert one["pid"] != other["pid"]
    assert one["parent"] == other["parent"]
    assert (one["parent"] == sweep.pid) == (method == "spawn")


def test_another_method_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    method: Any = "fork"
    with pytest.raises(ArgumentError, match=r"give forkserver or spawn$"):
        ProcessLauncher(start_method=method)
    monkeypatch.setattr("sys.platform", "darwin")
    ProcessLauncher(start_method="spawn")
    with pytest.raises(ArgumentError, match=r"there is not on this system; give spawn$"):
        ProcessLauncher(start_method="forkserver")


@pytest.mark.slow
@LINUX
def test_what_is_imported_begins_no_thread() -> None:
    """A fork has the thread alone that forked it."""
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    whole = ForkServer(JOB, one_thread, (*HYDRA_MODULES, *TRAINING_MODULES))
    parent = result(begin(whole, os.getppid))
    threads = psutil.Process(parent).num_threads()
    whole.close()
    assert threads == 1
