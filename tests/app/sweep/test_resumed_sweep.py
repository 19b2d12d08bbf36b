"""Resuming a sweep: the same command in the same folder runs the jobs that are left.

How a single job is resumed is tested in run/test_resume.py.
"""

from __future__ import annotations

import csv
import hashlib
import json
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from legoloop.state.directory_lock import DirectoryLock, is_locked
from legoloop.state.run_record import read_record
from tests.app.command import (
    SMALL,
    Command,
    Ended,
    beside_bricks_of_a_user,
    environment,
    in_a_process,
)
from tests.app.sweep.launchers.sweeps import wait_until
from tests.fork_server import ForkedProcess

FAULTY = "+plugins.faulty={_target_:mine.Faulty,name:'${seed}'}"
SWEEP = ("-m", *SMALL, "epoch_size=128", "loggers=[csv]", FAULTY)
HERE = "hydra.sweep.dir=sweep"
PROCESSES = ("hydra/launcher=processes", "hydra.launcher.n_jobs=2")
SUMMED_UP = {"sweep.json", "multirun.yaml", "results.csv", "results.html"}


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    return beside_bricks_of_a_user(tmp_path, monkeypatch, capfd)


def statuses(sweep: Path) -> list[str]:
    """How the attempts at each job ended: those that began."""
    records = [read_record(file.parent) for file in sorted(sweep.glob("*/run.json"))]
    return [" ".join(attempt["status"] for attempt in record["attempts"]) for record in records]


def outcome(sweep: Path) -> Any:
    """What the runs of a sweep left, but for the times."""
    with (sweep / "results.csv").open() as file:
        table = [
            {key: value for key, value in row.items() if key not in ("started", "duration")}
            for row in csv.DictReader(file)
        ]
    runs = [
        (
            hashlib.sha256((file.parent / "weights").read_bytes()).hexdigest(),
            (file.parent / "metrics.csv").read_text(),
            (file.parent / "predicts.csv").read_text(),
            read_record(file.parent)["final"],
        )
        for file in sorted(sweep.glob("*/run.json"))
    ]
    return table, runs


def contents(folder: Path) -> Mapping[Path, tuple[bytes, int]]:
    """Everything in a folder, and when it was written."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.slow
def test_it_does_what_is_left(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = command.here / "sweep"
    jobs = (*SWEEP, "seed=0,1,2")

    monkeypatch.setenv("FAULTS", "0=bug 1=SIGINT")
    ended = command(*jobs, HERE)
    assert ended.status == 130
    assert "Traceback" not in ended.err
    assert statuses(sweep) == ["FAILED", "INTERRUPTED"]
    assert (sweep / "1" / "checkpoints" / "2").is_dir()

    monkeypatch.setenv("FAULTS", "2=SIGTERM")
    ended = command(*jobs, HERE)
    assert ended.status == 143
    assert statuses(sweep) == ["FAILED COMPLETED", "INTERRUPTED COMPLETED", "INTERRUPTED"]
    output = (sweep / "1" / "output.log").read_text()
    assert "resumed from: sweep/1/checkpoints/2\n" in output
    assert "interrupted: 1 of 3 jobs are left; this goes on with them:\n" in ended.out
    completed = {**contents(sweep / "0"), **contents(sweep / "1")}

    monkeypatch.delenv("FAULTS")
    ended = command(*jobs, HERE)
    assert ended.status == 0
    assert ended.out.startswith("2 of 3 jobs have completed already\n")
    assert [line.split()[:3] for line in ended.out.splitlines()[1:2]] == [["3/3", "job", "2"]]
    assert statuses(sweep)[2] == "INTERRUPTED COMPLETED"
    assert {**contents(sweep / "0"), **contents(sweep / "1")} == completed

    at_the_end = contents(sweep)
    ended = command(*jobs, HERE)
    assert ended.status == 0
    assert ended.out.startswith("3 of 3 jobs have completed already\n")
    again = contents(sweep)
    assert again.keys() == at_the_end.keys()
    changed = {path for path in again if again[path] != at_the_end[path]}
    assert {str(path.relative_to(sweep)) for path in changed} <= SUMMED_UP


@pytest.mark.slow
def test_it_stops_at_a_failure_if_told_so(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = command.here / "sweep"
    jobs = (*SWEEP, "seed=0,1,2", "sweep.on_failure=stop", HERE)
    monkeypatch.setenv("FAULTS", "1=bug")
    assert command(*jobs).status == 1
    assert statuses(sweep) == ["COMPLETED", "FAILED"]
    assert not (sweep / "2").exists()

    monkeypatch.delenv("FAULTS")
    assert command(*jobs, "resume=must").status == 0
    assert statuses(sweep) == ["COMPLETED", "FAILED COMPLETED", "COMPLETED"]


@pytest.mark.slow
def test_it_goes_on_with_the_same_sweep_alone(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> None:
        me = ("-c", "user.name=me", "-c", "user.email=me@here")
        subprocess.run(["git", *me, *words], cwd=command.here, check=True, capture_output=True)

    option, code = command.here / "conf/optimizer/mine.yaml", command.here / "code.py"
    option.parent.mkdir(parents=True)
    option.write_text("_target_: torch.optim.SGD\nlr: 0.1\n")
    code.write_text("a = 1\n")
    git("init")
    git("add", "code.py")
    git("commit", "-m", "one")
    sweep = command.here / "sweep"
    jobs = ("--config-dir=conf", *SWEEP, "optimizer=mine", HERE)
    monkeypatch.setenv("FAULTS", "0=bug")
    assert command(*jobs, "seed=0").status == 1
    monkeypatch.delenv("FAULTS")
    before = contents(sweep)
    started = sweep_began(sweep)

    def refused(*arguments: str) -> str:
        ended = command(*jobs, *arguments)
        assert ended.status == 2
        assert contents(sweep) == before
        begin = f"error: hydra.sweep.dir: {sweep} holds "
        assert ended.err.startswith(begin)
        assert ended.out == ""
        return ended.err.removeprefix(begin).strip()

    def other(what: str) -> str:
        return (
            f"this sweep, but since it began (at {started}) {what} changed; "
            "choose another directory, or go on all the same with on_config_change=accept"
        )

    assert refused("seed=0", "resume=never") == (
        f"a sweep already (started {started}); choose another directory, or remove that one"
    )
    for grid in ("seed=0,1", "seed=1"):
        assert refused(grid) == (
            f"a sweep of other jobs (started {started}); "
            "give the command that began it, or choose another directory"
        )
    option.write_text("_target_: torch.optim.SGD\nlr: 0.2\n")
    assert refused("seed=0") == other("the configuration of job 0")
    option.write_text("_target_: torch.optim.SGD\nlr: 0.1\n")
    code.write_text("a = 2\n")
    assert refused("seed=0") == other("the code")
    git("commit", "-am", "two")
    assert refused("seed=0") == other("the code")
    assert command(*jobs, "seed=0", "on_config_change=accept").status == 0
    assert statuses(sweep) == ["FAILED COMPLETED"]
    assert command(*jobs, "seed=0").status == 0, "what was accepted stays so"


def sweep_began(sweep: Path) -> str:
    began: str = json.loads((sweep / "sweep.json").read_text())["started"]
    return began


def test_a_folder_in_use_is_refused(command: Command) -> None:
    claim = DirectoryLock(command.here / "sweep", "sweep")
    before = command.files()
    ended = command(*SWEEP, "seed=0", HERE)
    claim.release()
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.strip() == (
        f"error: hydra.sweep.dir: {command.here / 'sweep'} is in use by a sweep that has not "
        "ended; wait for it, or choose another directory"
    )
    assert command.files() == before


def slowly(here: Path, *arguments: str, faults: str = "") -> Ended:
    """The sweep in a process of its own, which may kill itself."""
    return in_a_process(here, *SWEEP, HERE, *arguments, **processes_find_bricks(here, faults))


def processes_find_bricks(here: Path, faults: str) -> dict[str, str]:
    path = f"{here.parent / 'package'}:{environment()['PYTHONPATH']}"
    return {"PYTHONPATH": path, "FAULTS": faults, "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "fault", "newest"),
    [
        pytest.param((), "SIGKILL", 1, marks=pytest.mark.long),
        (PROCESSES, "kill_the_sweep", 2),
    ],
    ids=["basic", "processes"],
)
def test_a_sweep_that_was_killed_ends_as_one_that_was_not(
    command: Command, launcher: tuple[str, ...], fault: str, newest: int
) -> None:
    here, sweep = command.here, command.here / "sweep"
    jobs = ("num_epochs=2", "plugins.checkpoints.every_steps=1", "seed=0,1,2,3")
    killed = slowly(here, *jobs, *launcher, faults=f"2={fault}")
    assert killed.status == -9
    wait_until(lambda: not any(is_locked(path, "run") for path in sweep.glob("*/")))
    begun = [n for n in range(4) if (sweep / str(n) / "run.json").exists()]
    records = {n: read_record(sweep / str(n)) for n in begun}
    done = [n for n, record in records.items() if record["status"] == "COMPLETED"]
    assert 0 in done
    assert 2 not in done
    completed = {n: contents(sweep / str(n)) for n in done}

    assert slowly(here, *jobs, *launcher).status == 0
    assert all(contents(sweep / str(n)) == completed[n] for n in done)
    for n in range(4):
        attempts = read_record(sweep / str(n))["attempts"]
        assert [attempt["status"] for attempt in attempts].count("COMPLETED") == 1
        assert len(attempts) == (1 if n in done or n not in records else 2)
    assert read_record(sweep / "2")["attempts"][1]["resumed_from"] == f"checkpoints/{newest}"

    assert slowly(here, *jobs, "hydra.sweep.dir=at_once").status == 0
    assert outcome(sweep) == outcome(here / "at_once")


@pytest.mark.long
def test_processes_stop_at_a_failure_if_told_so(command: Command) -> None:
    ended = slowly(
        command.here, *PROCESSES, "sweep.on_failure=stop", "seed=range(5)", faults="0=bug"
    )
    assert ended.status == 1
    begun = {path.name for path in (command.here / "sweep").glob("*/")}
    assert {"0", "1"} <= begun, "two at once"
    assert "4" not in begun


@pytest.mark.slow
def test_of_two_sweeps_at_the_same_time_one_wins(command: Command) -> None:
    both = [
        ForkedProcess(
            ["-m", "legoloop.run", *SWEEP, HERE, "seed=0,1"],
            cwd=command.here,
            env=environment(**processes_find_bricks(command.here, "0=SIGSTOP")),
        )
        for _ in range(2)
    ]
    wait_until(lambda: any(sweep.poll() is not None for sweep in both))
    (won,) = [sweep for sweep in both if sweep.poll() is None]
    (refused,) = [sweep for sweep in both if sweep is not won]
    out, err = refused.communicate()
    assert (refused.returncode, out) == (2, "")
    assert err == (
        f"error: hydra.sweep.dir: {command.here / 'sweep'} is in use by a sweep that has not "
        "ended; wait for it, or choose another directory\n"
    )
    while won.poll() is None:
        won.send_signal(signal.SIGCONT)  # once it has stopped itself
        try:
            won.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
    assert won.communicate()[1] == ""
    assert won.returncode == 0
    assert statuses(command.here / "sweep") == ["COMPLETED", "COMPLETED"]
