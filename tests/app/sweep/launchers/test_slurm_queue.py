"""What is read from Slurm's commands, and what is made of it; a real one: ``test_slurm.py``."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle
import pytest
from omegaconf import OmegaConf

from legoloop.app.sweep.launchers import slurm_queue, slurm_watch, submitit_launcher
from legoloop.app.sweep.launchers.slurm_queue import FORGOTTEN, states
from legoloop.app.sweep.launchers.slurm_watch import SlurmWatch
from legoloop.app.sweep.launchers.submitit_launcher import SlurmLauncher
from legoloop.core.errors import ConfigError

Answers = dict[str, tuple[int, str, str]]
"""Exit status, output and errors by the name of a command."""


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> tuple[Answers, list[str]]:
    """What the commands answer, and those that were asked."""
    answers: Answers = {}
    asked: list[str] = []

    def run(command: list[str], **_: Any) -> Any:
        asked.append(" ".join(command))
        if command[0] not in answers:
            raise FileNotFoundError(command[0])
        status, out, err = answers[command[0]]
        return subprocess.CompletedProcess(command, status, out, err)

    monkeypatch.setattr(slurm_queue.subprocess, "run", run)
    return answers, asked


Slurm = tuple[Answers, list[str]]


def test_one_question_for_all_jobs_of_an_array(slurm: Slurm) -> None:
    answers, asked = slurm
    answers["squeue"] = 0, "17_0 RUNNING\n17_1 PENDING\n", ""
    assert states(["17_0", "17_1"]) == {"17_0": "RUNNING", "17_1": "PENDING"}
    (question,) = asked
    assert question.endswith(" --jobs=17")


def test_what_squeue_forgot_accounting_knows(slurm: Slurm) -> None:
    answers, _ = slurm
    answers["squeue"] = 1, "", "slurm_load_jobs error: Invalid job id specified\n"
    answers["sacct"] = 0, "17_0|OUT_OF_MEMORY\n17_1|CANCELLED by 0\n", ""
    assert states(["17_0", "17_1"]) == {"17_0": "OUT_OF_MEMORY", "17_1": "CANCELLED"}


# submitit#1720, oumi#2671, snakemake-executor-plugin-slurm#38
@pytest.mark.parametrize("sacct", [(1, "", "Slurm accounting storage is disabled\n"), None])
def test_without_accounting_it_is_forgotten(
    sacct: tuple[int, str, str] | None, slurm: Slurm
) -> None:
    answers, _ = slurm
    answers["squeue"] = 0, "17_1 RUNNING\n", ""
    if sacct is not None:
        answers["sacct"] = sacct
    assert states(["17_0", "17_1"]) == {"17_0": FORGOTTEN, "17_1": "RUNNING"}


def test_a_controller_that_is_away_is_no_news(slurm: Slurm) -> None:
    answers, _ = slurm
    answers["squeue"] = 1, "", "slurm_load_jobs error: Unable to contact slurm controller\n"
    assert states(["17_0"]) is None


class Watched(SimpleNamespace):
    """A watch of one job that is in this state, with the causes of deaths that were told."""

    watch: SlurmWatch
    died: list[str]
    result: Path


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Watched]:
    monkeypatch.setattr(slurm_watch, "ASK_EVERY", (0.0, 0.0))

    def make(state: str) -> Watched:
        monkeypatch.setattr(slurm_watch, "states", lambda jobs: dict.fromkeys(jobs, state))
        died: list[str] = []
        job: Any = SimpleNamespace(number=0, died=lambda cause: died.append(cause) or "dead")
        paths = SimpleNamespace(
            result_pickle=tmp_path / "result", stderr=tmp_path / "err", stdout=tmp_path / "out"
        )
        handle = SimpleNamespace(job_id="17_0", paths=paths)
        watch = SlurmWatch()
        watch.add(job, handle)
        return Watched(watch=watch, died=died, result=paths.result_pickle)

    return make


def test_a_result_counts_whatever_slurm_says(watched: Callable[[str], Watched]) -> None:
    one = watched("RUNNING")
    assert one.watch.look() == {}
    one.result.write_bytes(cloudpickle.dumps(("success", "done")))
    assert one.watch.look() == {0: "done"}
    assert not one.watch.handles


def test_a_job_that_is_over_has_a_while_to_show_its_result(
    watched: Callable[[str], Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = watched("NODE_FAIL")
    assert one.watch.look() == {}
    monkeypatch.setattr(slurm_watch, "GRACE", 0.0)
    assert one.watch.look() == {0: "dead"}
    assert one.died == [f"died (its state: NODE_FAIL); see {one.result.with_name('err')}"]


# hydra#1377, hydra#1928: what is raised outside of a job ends the sweep
@pytest.mark.parametrize(("state", "told"), [("PENDING", []), ("FAILED", ["KeyError: 'a'"])])
def test_an_error_of_a_job_that_was_requeued_is_not_its_end(
    state: str, told: list[str], watched: Callable[[str], Watched]
) -> None:
    one = watched(state)
    one.result.write_bytes(cloudpickle.dumps(("error", "Traceback\n  line\nKeyError: 'a'\n")))
    one.watch.look()
    assert [cause.partition(";")[0] for cause in one.died] == told


def test_of_what_was_cancelled_before_it_began_there_is_nothing_to_tell(
    watched: Callable[[str], Watched], slurm: Slurm
) -> None:
    one = watched("CANCELLED")
    slurm[0]["scancel"] = 0, "", ""
    one.watch.cancel_waiting()
    one.watch.cancel_waiting()
    assert slurm[1] == ["scancel --state=PENDING 17_0"]
    assert one.watch.look() == {}
    assert not one.watch.handles
    assert not one.died


# hydra#2257, hydra#2461, hydra#3091: all of a batch must end before the next one begins
def test_a_job_is_asked_for_when_a_place_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setattr(submitit_launcher, "which", lambda name: "/usr/bin/srun")
    monkeypatch.setattr(submitit_launcher, "LOOK_EVERY", 0)
    monkeypatch.setattr(slurm_watch, "states", lambda jobs: dict.fromkeys(jobs, "RUNNING"))
    launcher = SlurmLauncher(submitit_folder=str(tmp_path), array_parallelism=2)
    launcher.config = OmegaConf.create({})
    told: list[str] = []
    looks = {0: 9, 1: 1, 2: 1, 3: 1}

    def returned_by(job: Any, handle: Any, is_over: bool) -> str | None:
        looks[job.number] -= 1
        return "done" if looks[job.number] < 0 else None

    def jobs() -> Iterator[Any]:
        for number in range(4):
            told.append(f"asks for {number}")
            yield SimpleNamespace(number=number)

    def submit(jobs: list[Any]) -> list[Any]:
        return [SimpleNamespace(job_id=str(job.number)) for job in jobs]

    monkeypatch.setattr(slurm_watch, "returned_by", returned_by)
    monkeypatch.setattr(launcher, "submit", submit)
    monkeypatch.setattr(launcher, "_sent", lambda jobs: jobs)
    monkeypatch.setattr(submitit_launcher, "has_failed", lambda returned: False)
    launcher.launch_as_asked(jobs(), lambda number: told.append(f"{number} has ended"))
    assert told == [
        *("asks for 0", "asks for 1", "1 has ended", "asks for 2", "2 has ended"),
        *("asks for 3", "3 has ended", "0 has ended"),
    ]


def test_without_waiting_nobody_sees_how_jobs_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setattr(submitit_launcher, "which", lambda name: "/usr/bin/srun")
    launcher = SlurmLauncher(submitit_folder=str(tmp_path), wait=False)
    launcher.config = OmegaConf.create({"sweep": {"on_failure": "stop"}})
    refusal = r"^hydra\.launcher\.wait: is false, so nobody would see "
    with pytest.raises(ConfigError, match=refusal):
        launcher.execute(iter(()))
    with pytest.raises(ConfigError, match=refusal):
        launcher.launch_as_asked(iter(()), lambda number: None)
