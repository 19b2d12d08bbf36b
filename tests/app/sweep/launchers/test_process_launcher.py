"""The launcher with a process a job: on jobs that cost nothing.

Real runs go through it in tests/app/sweep/test_sweep_acceptance.py.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from legoloop.app.sweep.launchers.process_launcher import ProcessLauncher
from legoloop.core.errors import ArgumentError
from legoloop.state.run_record import read_record
from tests.app.sweep.launchers.sweeps import begun, ended, facts, is_gone, wait_until

PROCESSES = "hydra/launcher=processes"


@pytest.fixture(autouse=True)
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight of them, and an environment that says nothing of threads."""
    monkeypatch.setattr("legoloop.app.sweep.launchers.process_launcher._cores", lambda: 8)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("given", "slot", "threads", "gpu"),
    [
        ({}, 0, "8", None),
        ({"n_jobs": 3}, 2, "2", None),
        ({"n_jobs": 9}, 8, "1", None),
        ({"n_jobs": 3, "threads_per_job": 4}, 1, "4", None),
        ({"gpus": [5, 7]}, 1, "4", "7"),
        ({"gpus": ["0,1", "2,3"]}, 0, "4", "0,1"),
        ({"gpus": [0, 1], "n_jobs": 4}, 2, "2", "0"),
        ({"gpus": []}, 0, "8", None),
    ],
)
def test_slots_share_cores_and_gpus(
    given: dict[str, object], slot: int, threads: str, gpu: str | None
) -> None:
    environment = ProcessLauncher(**given).environment(slot)  # type: ignore[arg-type]
    assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == threads
    assert environment.get("CUDA_VISIBLE_DEVICES") == gpu


def test_threads_that_the_environment_sets_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    environment = ProcessLauncher(n_jobs=2).environment(0)
    assert "OMP_NUM_THREADS" not in environment
    assert environment["MKL_NUM_THREADS"] == "4"
    assert ProcessLauncher(n_jobs=2, threads_per_job=5).environment(0)["OMP_NUM_THREADS"] == "5"


@pytest.mark.parametrize(
    "given", [{"n_jobs": 0}, {"n_jobs": "two"}, {"threads_per_job": -1}], ids=str
)
def test_what_cannot_be_is_refused(given: dict[str, int]) -> None:
    with pytest.raises(ArgumentError, match=r"give a whole number of at least 1$"):
        ProcessLauncher(**given)


# hydra#1331, hydra#2757, hydra#2465: a GPU of its own for each job on one machine
@pytest.mark.slow
def test_each_job_sees_the_gpu_of_its_slot_and_its_lines_are_told_apart(tmp_path: Path) -> None:
    sweep = begun(tmp_path, PROCESSES, "hydra.launcher.gpus=[7,9]", "do=a,b,c")
    how = ended(sweep)
    assert how.status == 0
    seen = [facts(tmp_path, job)["CUDA_VISIBLE_DEVICES"] for job in range(3)]
    assert seen[:2] == ["7", "9"]
    assert seen[2] in seen[:2]
    assert len({facts(tmp_path, job)["pid"] for job in range(3)}) == 3
    for job, done in enumerate("abc"):
        assert f"[{job}] does {done}" in how.out.splitlines()
        assert f"[{job}] and says so" in how.err.splitlines()


def test_a_job_that_dies_is_one_failed_job(tmp_path: Path) -> None:
    how = ended(begun(tmp_path, PROCESSES, "hydra.launcher.n_jobs=2", "do=exit,kill,fine"))
    assert how.status != 0
    causes = ["ended with exit status 9 without a word", "killed by SIGKILL (out of memory?)"]
    for job, cause in enumerate(causes):
        record = read_record(tmp_path / "sweep" / str(job))
        assert (record["status"], record["cause"]) == ("FAILED", cause)
        assert f"[{job}] error: {cause}" in how.err.splitlines()
    assert "[2] does fine" in how.out.splitlines()


@pytest.mark.slow
def test_no_further_job_begins_after_a_failure_if_told_so(tmp_path: Path) -> None:
    stop = "+sweep.on_failure=stop"
    how = ended(begun(tmp_path, PROCESSES, stop, "do=fine,raise,late,later"))
    assert how.status != 0
    assert (tmp_path / "sweep" / "1").is_dir()
    assert not (tmp_path / "sweep" / "2").exists()


@pytest.mark.slow
def test_what_a_job_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    assert ended(begun(tmp_path, PROCESSES, "do=leave a child")).status == 0
    assert is_gone(facts(tmp_path, 0)["child"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_to_the_sweep_reaches_its_jobs_once(name: str, tmp_path: Path) -> None:
    sweep = begun(tmp_path, PROCESSES, "hydra.launcher.n_jobs=2", "do=wait", "+n=0,1,2")
    pids = at_work(tmp_path)
    sweep.send_signal(signal.Signals[name])
    assert ended(sweep).status != 0
    for job in (0, 1):
        assert (tmp_path / "sweep" / str(job) / "heard").read_text() == f"{name}\n"
    assert not (tmp_path / "sweep" / "2").exists()
    assert all(is_gone(pid) for pid in pids)


@pytest.mark.slow
def test_a_second_ctrl_c_ends_jobs_that_did_not_listen(tmp_path: Path) -> None:
    sweep = begun(tmp_path, PROCESSES, "hydra.launcher.n_jobs=2", "do=refuse to end", "+n=0,1")
    pids = at_work(tmp_path)
    sweep.send_signal(signal.SIGINT)
    wait_until(lambda: all((tmp_path / "sweep" / job / "heard").exists() for job in "01"))
    sweep.send_signal(signal.SIGINT)
    assert ended(sweep).status != 0
    assert all(is_gone(pid) for pid in pids)


@pytest.mark.slow
def test_jobs_do_not_outlive_a_sweep_that_was_killed(tmp_path: Path) -> None:
    sweep = begun(tmp_path, PROCESSES, "hydra.launcher.n_jobs=2", "do=wait", "+n=0,1")
    pids = at_work(tmp_path)
    sweep.kill()
    sweep.communicate()
    wait_until(lambda: all(is_gone(pid) for pid in pids))
    for job in (0, 1):
        assert (tmp_path / "sweep" / str(job) / "heard").read_text() == "SIGTERM\n"


def at_work(here: Path) -> list[int]:
    """The processes of the first two jobs, once both are at work."""
    wait_until(lambda: all((here / "sweep" / job / "facts.json").exists() for job in "01"))
    return [facts(here, job)["pid"] for job in (0, 1)]
