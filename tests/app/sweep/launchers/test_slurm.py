"""The launcher for Slurm, on a real one that runs here; what users of such launchers ran into."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from legoloop.state.run_record import read_record
from tests.app.command import environment
from tests.app.sweep.launchers.long_runs import (
    attempts,
    going_on,
    saved,
    undisturbed,
    weights,
)
from tests.app.sweep.launchers.several_nodes import (
    HALVES,
    NODES,
    End,
    completes,
    ended_by,
    newest_checkpoint,
    process_of,
    sweep_completes,
)
from tests.app.sweep.launchers.slurm_here import SlurmHere, slurm_here, why_not
from tests.app.sweep.launchers.sweeps import begun, ended, facts, wait_until

SLURM = "hydra/launcher=slurm"
BROKEN = """
class Broken:
    def __init__(self):
        raise RuntimeError("it cannot be built")
"""
LATE = """
import os, pathlib, time
if os.environ.get("SLURM_ARRAY_TASK_ID") == "1" and not (mark := pathlib.Path("late")).exists():
    mark.touch()
    time.sleep(600)
"""
"""The second job of an array imports for ever, the first time."""


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmHere]:
    pytest.importorskip("submitit")
    if problem := why_not():
        pytest.skip(problem)
    with slurm_here() as started:
        yield started


@pytest.fixture(scope="module")
def slurm_of_two() -> Iterator[SlurmHere]:
    pytest.importorskip("submitit")
    if problem := why_not():
        pytest.skip(problem)
    with slurm_here(nodes=2) as started:
        yield started


def submitted(here: Path) -> dict[str, str]:
    """Slurm's number of each job by ours."""
    found: dict[str, str] = json.loads((here / "sweep/.submitit/submitted.json").read_text())[
        "jobs"
    ]
    return found


@pytest.mark.slow
def test_what_slurm_is_asked_for(tmp_path: Path, slurm: SlurmHere) -> None:
    asked = ("partition=high", "timeout_min=90", "signal_delay_s=300")
    settings = [f"hydra.launcher.{setting}" for setting in asked]
    more = "+hydra.launcher.additional_parameters.nice=5"
    how = ended(begun(tmp_path, SLURM, *settings, more, "+n=0,1,2", **slurm.environment))
    assert (how.status, how.err) == (0, "")
    assert [facts(tmp_path, job)["SLURM_ARRAY_TASK_ID"] for job in range(3)] == ["0", "1", "2"]
    (batch,) = (tmp_path / "sweep" / ".submitit").glob("*_submission.sh")
    flags = {line.split(" ")[1] for line in batch.read_text().splitlines() if "#S" in line}
    assert flags >= {
        "--array=0-2%3",
        "--job-name=tiny_app",
        "--partition=high",
        "--time=90",
        "--signal=USR2@300",  # submitit's own: NCCL may take USR1
        "--nice=5",
    }


@pytest.mark.slow
def test_a_setting_that_slurm_does_not_have_is_refused(tmp_path: Path, slurm: SlurmHere) -> None:
    how = ended(begun(tmp_path, SLURM, "hydra.launcher.partitoin=long", **slurm.environment))
    assert how.status != 0
    assert "partitoin" in how.err


# hydra#1377, hydra#1513, hydra#2551: one job that fails or dies, and the others are lost
# submitit#1720, oumi#2671: no accounting, and a job that was killed is waited for, for ever
@pytest.mark.long
def test_a_job_that_dies_is_one_failed_job_without_accounting(
    tmp_path: Path, slurm: SlurmHere
) -> None:
    some_die(tmp_path, slurm)


@pytest.mark.long
def test_and_with_accounting(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    if problem := why_not(accounting=True):
        pytest.skip(problem)
    with slurm_here(accounting=True) as slurm:
        some_die(tmp_path, slurm)
        ended_ones = slurm.asked("sacct", "--noheader", "--allocations", "--format=State")
        assert ended_ones.split() == ["FAILED", "FAILED", "COMPLETED", "COMPLETED"]


def some_die(here: Path, slurm: SlurmHere) -> None:
    """Two of four jobs die, one of them of SIGKILL; each is one failed job."""
    sweep = begun(here, SLURM, "do=wait,exit,raise,fine", **slurm.environment)
    wait_until(lambda: (here / "sweep" / "0" / "facts.json").exists())
    psutil.Process(facts(here, 0)["pid"]).kill()
    how = ended(sweep)
    assert how.status != 0
    for job in (0, 1):
        record = read_record(here / "sweep" / str(job))
        assert record["status"] == "FAILED"
        assert record["cause"].startswith("died (its state: FAILED); see ")
    assert facts(here, 3)["do"] == "fine"
    assert "sacct" not in how.err


@pytest.mark.slow
def test_after_a_failure_what_is_queued_is_cancelled(tmp_path: Path, slurm: SlurmHere) -> None:
    one = ("hydra.launcher.array_parallelism=1", "+sweep.on_failure=stop")
    how = ended(begun(tmp_path, SLURM, *one, "do=raise,late,later,last", **slurm.environment))
    assert how.status != 0
    assert facts(tmp_path, 0)["do"] == "raise"
    assert not (tmp_path / "sweep" / "3").exists()


# hydra#2479, hydra#3058, hydra#3128: the command must live as long as the jobs
@pytest.mark.long
def test_a_command_that_does_not_wait_is_given_again(tmp_path: Path, slurm: SlurmHere) -> None:
    words = (SLURM, "hydra.launcher.wait=false", "seed=0,1")

    def command() -> tuple[int, str]:
        how = ended(going_on(tmp_path, *words, **slurm.environment))
        assert "error" not in how.err
        return how.status, how.out

    status, out = command()
    assert status == 0
    assert "2 of 2 jobs are in the queue or run; this sums them up later:" in out
    first = submitted(tmp_path)
    status, out = command()
    assert (status, submitted(tmp_path)) == (0, first), "nothing is submitted twice"
    assert "2 of 2 jobs are in the queue or run" in out
    records = [tmp_path / "sweep" / job / "run.json" for job in "01"]
    wait_until(lambda: all(one.exists() and "COMPLETED" in one.read_text() for one in records))
    status, out = command()
    assert status == 0
    assert "in the queue" not in out
    assert "2 of 2 jobs have completed already" in out


# hydra#2042, EgoVerse#621: what was requeued begins anew
@pytest.mark.long
def test_requeued_and_abandoned_jobs_are_resumed(tmp_path: Path, slurm: SlurmHere) -> None:
    jobs = 20
    few = "hydra.launcher.array_parallelism=4"
    sweep = going_on(tmp_path, SLURM, few, f"seed=range({jobs})", **slurm.environment)
    wait_until(lambda: saved(tmp_path, 0))
    numbers = submitted(tmp_path)
    slurm.asked("scontrol", "requeue", numbers["0"])
    wait_until(lambda: saved(tmp_path, 1))
    (daemon,) = slurm.daemons(numbers["1"])
    daemon.kill()
    expected = undisturbed(tmp_path / "basic", jobs)
    how = ended(sweep)
    assert how.status == 0, how
    assert attempts(tmp_path, 0) == attempts(tmp_path, 1)
    assert attempts(tmp_path, 0) == [("INTERRUPTED", False), ("COMPLETED", True)]
    for job in range(2, jobs):
        assert attempts(tmp_path, job) == [("COMPLETED", False)]
    assert weights(tmp_path, jobs) == expected
    assert sum(" completed in " in line for line in how.out.splitlines()) == jobs


@pytest.mark.long
def test_a_cancelled_job_saves_and_does_not_come_back(tmp_path: Path, slurm: SlurmHere) -> None:
    sweep = going_on(tmp_path, SLURM, "seed=0,1", **slurm.environment)
    wait_until(lambda: saved(tmp_path, 0))
    slurm.asked("scancel", submitted(tmp_path)["0"])
    how = ended(sweep)
    assert how.status == 1, how
    assert attempts(tmp_path, 0) == [("INTERRUPTED", False)]
    assert attempts(tmp_path, 1) == [("COMPLETED", False)]


@pytest.mark.slow
def test_preempted_jobs_are_resumed_or_begin_later(tmp_path: Path, slurm: SlurmHere) -> None:
    late = tmp_path / "late_to_import"
    late.mkdir()
    (late / "sitecustomize.py").write_text(LATE)
    path = f"{late}:{environment()['PYTHONPATH']}"
    sweep = going_on(tmp_path, SLURM, "seed=0,1", **slurm.environment, PYTHONPATH=path)
    wait_until(lambda: saved(tmp_path, 0) and (tmp_path / "late").exists())
    assert not (tmp_path / "sweep" / "1").exists(), "it is still importing"
    slurm.asked("srun", "--partition=high", "--ntasks=16", "true")
    how = ended(sweep)
    assert how.status == 0, how
    assert attempts(tmp_path, 0) == [("INTERRUPTED", False), ("COMPLETED", True)]
    assert attempts(tmp_path, 1) == [("COMPLETED", False)]
    assert weights(tmp_path, 2) == undisturbed(tmp_path / "basic", 2)


def after(end: End, here: Path, slurm: SlurmHere) -> tuple[str, str]:
    """The status and the cause of a run on two nodes that was ended, of which nothing is left."""
    record = ended_by(here, end, SLURM, **slurm.environment)
    wait_until(lambda: not slurm.asked("squeue", "--noheader").strip())
    return record["status"], record.get("cause", "").partition(";")[0]


@pytest.mark.long
def test_a_run_on_two_nodes_goes_on_when_a_rank_has_died(
    tmp_path: Path, slurm_of_two: SlurmHere
) -> None:
    found = after(lambda _: process_of(1, tmp_path).kill(), tmp_path, slurm_of_two)
    assert found == ("FAILED", "rank 1 was killed by SIGKILL (out of memory?)")
    completes(tmp_path, SLURM, **slurm_of_two.environment)
    assert list((tmp_path / "sweep" / ".submitit").glob("*.nodes.json")) == []


@pytest.mark.long
def test_a_run_on_two_nodes_goes_on_whatever_ended_it(
    tmp_path: Path, slurm_of_two: SlurmHere
) -> None:
    def cancel(_: object) -> None:
        slurm_of_two.asked("scancel", submitted(tmp_path)["0"])

    def kill_the_run(_: object) -> None:
        lease = json.loads((tmp_path / "sweep" / "0" / ".run.lease").read_text())
        psutil.Process(lease["pid"]).kill()

    def kill_the_other_node(_: object) -> None:
        process_of(1, tmp_path).parent().kill()  # type: ignore[union-attr]

    assert after(cancel, tmp_path, slurm_of_two) == ("INTERRUPTED", "")
    died = "died (its state: FAILED)"
    assert after(kill_the_run, tmp_path, slurm_of_two) == ("FAILED", died)
    status, cause = after(kill_the_other_node, tmp_path, slurm_of_two)
    assert status == "FAILED"
    assert re.fullmatch(r"rank 1: its machine, .*, ended without a word", cause)
    before = newest_checkpoint(tmp_path)
    sweep = going_on(tmp_path, SLURM, *NODES, **slurm_of_two.environment)
    wait_until(lambda: newest_checkpoint(tmp_path) > before)
    slurm_of_two.asked("srun", "--partition=high", "--nodes=2", "--ntasks=32", "true")
    how = ended(sweep)
    assert how.status == 0, how
    assert [status for status, _ in attempts(tmp_path, 0)][-2:] == ["INTERRUPTED", "COMPLETED"]
    assert weights(tmp_path, 1) == undisturbed(tmp_path / "basic", 1, HALVES)


@pytest.mark.long
def test_a_sweep_of_jobs_on_two_nodes(tmp_path: Path, slurm_of_two: SlurmHere) -> None:
    sweep_completes(tmp_path, SLURM, **slurm_of_two.environment)


@pytest.mark.long
def test_a_run_that_never_trains_leaves_no_node_behind(
    tmp_path: Path, slurm_of_two: SlurmHere
) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    broken = ("+plugins.broken._target_=broken.Broken", *NODES)
    how = ended(going_on(tmp_path, SLURM, *broken, **slurm_of_two.environment))
    assert how.status == 1, how
    assert "it cannot be built" in read_record(tmp_path / "sweep" / "0")["cause"]
    wait_until(lambda: not slurm_of_two.asked("squeue", "--noheader").strip())
