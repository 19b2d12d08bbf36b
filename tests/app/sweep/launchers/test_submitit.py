"""The launchers for Slurm: by submitit's own executor, and by commands that stand for Slurm's."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from legoloop.state.run_record import read_record
from tests.app.command import SMALL, in_a_process
from tests.app.sweep.launchers import slurm
from tests.app.sweep.launchers.sweeps import begun, ended, facts

LOCAL = "hydra/launcher=slurm_local"
SLURM = "hydra/launcher=slurm"


@pytest.fixture(autouse=True)
def submitit() -> None:
    pytest.importorskip("submitit")


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    return slurm.installed(tmp_path / "slurm")


def path(commands: Path) -> str:
    return f"{commands}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.slow  # submitit waits 15 s for the result of a job that died
def test_here_a_job_that_dies_is_one_failed_job(tmp_path: Path) -> None:
    how = ended(begun(tmp_path, LOCAL, "do=exit,fine"))
    assert how.status != 0
    record = read_record(tmp_path / "sweep" / "0")
    assert record["status"] == "FAILED"
    assert re.fullmatch(r"died \(its state: \w+\); see .*_log\.err", record["cause"])
    assert facts(tmp_path, 1)["SUBMITIT_EXECUTOR"] == "local"


@pytest.mark.slow
def test_an_interrupted_job_goes_back_into_the_queue(tmp_path: Path, commands: Path) -> None:
    how = ended(begun(tmp_path, SLURM, "do=give way,fine", PATH=path(commands)))
    assert (how.status, how.err) == (0, "")
    assert sorted((commands / "begun").read_text().split()) == ["0", "0", "1"]
    assert facts(tmp_path, 0)["SLURM_ARRAY_TASK_ID"] == "0"


@pytest.mark.slow
def test_what_slurm_is_asked_for(tmp_path: Path, commands: Path) -> None:
    asked = ("partition=long", "timeout_min=90", "gpus_per_node=2", "signal_delay_s=300")
    settings = [f"hydra.launcher.{setting}" for setting in asked]
    more = "+hydra.launcher.additional_parameters.mail-type=END"
    how = ended(begun(tmp_path, SLURM, *settings, more, "+n=0,1,2", PATH=path(commands)))
    assert (how.status, how.err) == (0, "")
    flags = {
        line.split(" ")[1] for line in (commands / "batch").read_text().splitlines() if "#S" in line
    }
    assert flags >= {
        "--array=0-2%3",
        "--job-name=tiny_app",
        "--partition=long",
        "--time=90",
        "--gpus-per-node=2",
        "--signal=USR1@300",
        "--mail-type=END",
    }


def test_a_setting_that_slurm_does_not_have_is_refused(tmp_path: Path, commands: Path) -> None:
    how = ended(begun(tmp_path, SLURM, "hydra.launcher.partitoin=long", PATH=path(commands)))
    assert how.status != 0
    assert "partitoin" in how.err


@pytest.mark.slow
def test_runs(tmp_path: Path, commands: Path) -> None:
    sweep = ("-m", *SMALL, "loggers=[]", "hydra.sweep.dir=sweep", SLURM, "seed=0,1")
    how = in_a_process(tmp_path, *sweep, PATH=path(commands))
    assert (how.status, how.err) == (0, "")
    for job in (0, 1):
        record = read_record(tmp_path / "sweep" / str(job))
        assert (record["status"], record["seed"]) == ("COMPLETED", job)
