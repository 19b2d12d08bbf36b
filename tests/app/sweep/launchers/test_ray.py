"""The launcher for Ray, on this machine and on a cluster of three nodes that runs here."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from legoloop.app.hydra_bridge.launcher_check import check_launcher
from legoloop.app.sweep.launchers import ray_job
from legoloop.app.sweep.launchers.ray_launcher import checked_room
from legoloop.core.errors import ConfigError, DataError
from legoloop.state.directory_lock import DirectoryLock
from legoloop.state.run_record import read_record
from tests.app.composed import config_of, hydra_at_work
from tests.app.sweep.launchers.long_runs import (
    attempts,
    going_on,
    saved,
    undisturbed,
    weights,
)
from tests.app.sweep.launchers.ray_here import RayHere, ray_here
from tests.app.sweep.launchers.several_nodes import (
    HALVES,
    NODES,
    completes,
    ended_by,
    process_of,
    sweep_completes,
)
from tests.app.sweep.launchers.sweeps import begun, ended, facts, wait_until

RAY = "hydra/launcher=ray"
HERE = (RAY, "hydra.launcher.init.num_cpus=2")


@pytest.fixture(autouse=True)
def ray() -> None:
    pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayHere]:
    pytest.importorskip("ray")
    with ray_here() as started:
        yield started


def on(cluster: RayHere) -> tuple[str, ...]:
    """To run on a cluster."""
    own = ("init.address", cluster.address), ("init.log_to_driver", "false")
    return (RAY, *(f"hydra.launcher.{key}={value}" for key, value in own))


@pytest.mark.slow
def test_a_job_that_dies_is_one_failed_job(tmp_path: Path) -> None:
    how = ended(begun(tmp_path, *HERE, "do=fine,exit,done"))
    assert how.status != 0
    assert len({facts(tmp_path, job)["pid"] for job in range(3)}) == 3
    record = read_record(tmp_path / "sweep" / "1")
    assert record["status"] == "FAILED"
    assert record["cause"].startswith("WorkerCrashedError: The worker died unexpectedly")


@pytest.mark.long
def test_no_further_job_begins_after_a_failure_if_told_so(tmp_path: Path) -> None:
    one = (RAY, "hydra.launcher.init.num_cpus=1", "+sweep.on_failure=stop")
    how = ended(begun(tmp_path, *one, "do=raise,late"))
    assert how.status != 0
    assert (tmp_path / "sweep" / "0").is_dir()
    assert not (tmp_path / "sweep" / "1").exists()


@pytest.mark.parametrize(
    ("each", "told"), [(1, "asks for {'CPU': 3}, for which no node has"), (2, "not 2 nodes have")]
)
def test_what_there_is_no_room_for_is_refused(each: int, told: str) -> None:
    two = [{"CPU": 2.0}, {"CPU": 4.0}]
    assert checked_room(two, {"CPU": 3}) == 1
    with pytest.raises(ConfigError, match=re.escape(told)):
        checked_room(two[:each], {"CPU": 3}, each)


@pytest.mark.long
def test_what_no_node_has_room_for_is_told_and_not_waited_for(tmp_path: Path) -> None:
    how = ended(begun(tmp_path, *HERE, "hydra.launcher.remote.num_cpus=3"))
    assert how.status != 0
    assert "hydra.launcher.remote: asks for {'CPU': 3}, for which no node has room" in how.err


# ray#40210: a process that Ray ends has 100 ms; and workers of a cluster do not know our modules
@pytest.mark.parametrize("jobs", [pytest.param(jobs, marks=pytest.mark.long) for jobs in (4, 20)])
def test_a_job_whose_node_dies_is_resumed_on_another(
    jobs: int, tmp_path: Path, cluster: RayHere
) -> None:
    sweep = going_on(tmp_path, *on(cluster), f"seed=range({jobs})")
    wait_until(lambda: all(saved(tmp_path, job) for job in range(2)))
    ended_one = next(job for job in range(2) if cluster.end_the_node_of(pid_of(tmp_path, job)))
    how = ended(sweep)
    assert how.status == 0, how
    for job in range(jobs):
        *_, last = made = attempts(tmp_path, job)
        assert last == ("COMPLETED", job == ended_one)
        assert len(made) == (2 if job == ended_one else 1)
    assert weights(tmp_path, jobs) == undisturbed(tmp_path / "basic", jobs)


@pytest.mark.long
def test_ctrl_c_interrupts_the_runs_which_save(tmp_path: Path, cluster: RayHere) -> None:
    words = (*on(cluster), "seed=range(3)")
    sweep = going_on(tmp_path, *words)
    wait_until(lambda: all(saved(tmp_path, job) for job in range(2)))
    sweep.send_signal(signal.SIGINT)
    how = ended(sweep)
    assert how.status == 130, how
    assert "this goes on with them:" in how.out
    begun = [job for job in range(3) if (tmp_path / "sweep" / str(job) / "run.json").exists()]
    assert len(begun) >= 2
    for job in begun:
        assert attempts(tmp_path, job) == [("INTERRUPTED", False)]
    assert ended(going_on(tmp_path, *words)).status == 0
    for job in begun:
        assert attempts(tmp_path, job)[-1] == ("COMPLETED", True)
    assert weights(tmp_path, 3) == undisturbed(tmp_path / "basic", 3)


@pytest.mark.long
def test_a_run_one_of_whose_nodes_dies_is_resumed_on_others(tmp_path: Path) -> None:
    with ray_here() as cluster:
        sweep = going_on(tmp_path, *on(cluster), *NODES)
        wait_until(lambda: saved(tmp_path, 0))
        of_run, of_rank_1 = pid_of(tmp_path, 0), process_of(1, tmp_path).ppid()
        assert any(map(cluster.end_the_node_of, (of_rank_1, of_run)))
        how = ended(sweep)
        assert how.status == 0, how
    first, second = attempts(tmp_path, 0)
    assert (first[1], second) == (False, ("COMPLETED", True))
    assert not (tmp_path / "sweep" / ".nodes").exists()
    assert weights(tmp_path, 1) == undisturbed(tmp_path / "basic", 1, HALVES)


@pytest.mark.long
def test_a_run_on_two_nodes_goes_on_after_ctrl_c(tmp_path: Path) -> None:
    with ray_here() as cluster:
        record = ended_by(tmp_path, lambda sweep: sweep.send_signal(signal.SIGINT), *on(cluster))
        assert record["status"] == "INTERRUPTED"
        completes(tmp_path, *on(cluster))


@pytest.mark.long
def test_a_sweep_of_jobs_on_two_nodes(tmp_path: Path) -> None:
    with ray_here() as cluster:
        sweep_completes(tmp_path, *on(cluster))


@pytest.mark.long
def test_more_nodes_than_there_are_is_told_and_not_waited_for(tmp_path: Path) -> None:
    how = ended(going_on(tmp_path, *HERE, *NODES))
    assert how.status != 0
    assert "hydra.launcher.remote: asks for {'CPU': 1}, for which not 2 nodes have room" in how.err


def pid_of(here: Path, job: int) -> int:
    """The process of a run that goes on, as its lease says."""
    lease = json.loads((here / "sweep" / str(job) / ".run.lease").read_text())
    return int(lease["pid"])


@pytest.mark.parametrize(
    ("setting", "remedy"),
    [
        ("n_jobs=0", "at least 1"),
        ("n_jobs=two", "at least 1"),
        ("retries=-1", "at least 0"),
        ("nodes=0", "at least 1"),
    ],
)
def test_what_cannot_be_is_refused(setting: str, remedy: str) -> None:
    with hydra_at_work(), pytest.raises(ConfigError, match=rf"give a whole number of {remedy}$"):
        check_launcher(config_of(RAY, f"hydra.launcher.{setting}"))


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A job that tells where it runs, in this process."""
    monkeypatch.setattr(ray_job, "end_with_the_parent", lambda: None)
    monkeypatch.chdir(tmp_path)

    class Job(SimpleNamespace):
        directory = tmp_path / "sweep" / "0"
        config = SimpleNamespace(hydra=SimpleNamespace(sweep=SimpleNamespace(dir="sweep")))

        def __call__(self) -> str:
            return str(Path.cwd())

    return Job()


def test_a_node_that_does_not_see_the_folder_is_named(job: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^the node .* does not see sweep; all nodes of a cluster"):
        ray_job.carried_out(job, str(tmp_path), again=False)
    (tmp_path / "sweep").mkdir()
    assert ray_job.carried_out(job, str(tmp_path), again=False) == str(tmp_path)


def test_what_is_left_of_the_attempt_before_is_waited_for(
    job: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = DirectoryLock(job.directory, "run")
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            lock.release()

    monkeypatch.setattr(ray_job.time, "sleep", sleep)
    ray_job.carried_out(job, str(tmp_path), again=True)
    assert len(waited) == 3
