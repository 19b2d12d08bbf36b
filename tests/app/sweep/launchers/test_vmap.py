"""Sweeps whose jobs are trained together: what each of them leaves, however it ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import legoloop as ll
from legoloop.app.sweep.launchers.vmap_launcher import VmapLauncher
from legoloop.core.errors import ArgumentError
from tests.app.command import Command, Ended, beside_bricks_of_a_user, in_a_process

FATE = "tests.app.sweep.launchers.fates.Fate"
OF_ALL = (
    *("-m", "data=digits", "model=mlp", "model.hidden=[${plugins.fate.width}]"),
    *("epoch_size=160", "eval_samples=64", "num_epochs=${plugins.fate.epochs}"),
    *("optimizer.lr=${plugins.fate.lr}", "loggers=[csv]", "hydra.sweep.dir=sweep"),
)
CALM = {"_target_": FATE, "kind": "calm", "width": 8, "lr": 0.01, "epochs": 3}
VMAP = "hydra/launcher=vmap"


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    return beside_bricks_of_a_user(tmp_path, monkeypatch, capfd)


def fates(*given: dict[str, Any]) -> str:
    nodes = [
        "{" + ",".join(f"{k}:{v}" for k, v in {**CALM, **each}.items()) + "}" for each in given
    ]
    return f"+plugins.fate={','.join(nodes)}"


def record(sweep: Path, job: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((sweep / str(job) / "run.json").read_text())
    return found


def statuses(sweep: Path, jobs: int) -> list[str]:
    return [record(sweep, job)["status"] for job in range(jobs)]


def line_of(ended: Ended, beginning: str) -> str:
    (line,) = [each for each in ended.out.splitlines() if each.startswith(beginning)]
    return line


MIXED = fates({}, {"lr": "1e30"}, {"kind": "raises"}, {"epochs": 1}, {"width": 9}, {"lr": 0.02})


@pytest.mark.slow
def test_each_job_of_a_mixed_sweep_ends_as_it_should(command: Command) -> None:
    ended = command(*OF_ALL, VMAP, MIXED)
    sweep = command.here / "sweep"
    assert ended.status == 1
    together = line_of(ended, "trained together: ")
    assert together == ("trained together: jobs 0-3, 5; alone: job 4 (model.hidden differs)")
    assert statuses(sweep, 6) == [
        *("COMPLETED", "FAILED", "FAILED", "COMPLETED", "COMPLETED", "COMPLETED"),
    ]
    assert "the loss is" in record(sweep, 1)["cause"]
    assert record(sweep, 2)["cause"] == "ValueError('it was to be')"
    assert record(sweep, 3)["stop_reason"] == "1 epochs are done"
    for job in (0, 3, 5):
        assert record(sweep, job)["final"].keys() == record(sweep, 4)["final"].keys()
    said = (sweep / "2" / "output.log").read_text()
    assert "error: ValueError('it was to be')" in said
    assert "the run failed" in (sweep / "2" / "run.log").read_text()
    assert "the run failed" not in (sweep / "0" / "run.log").read_text()


def files(directory: Path) -> list[str]:
    return sorted(
        str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()
    )


@pytest.mark.slow
def test_a_member_leaves_what_a_run_alone_leaves(command: Command) -> None:
    two = (*OF_ALL, "seed=0,1", fates({"epochs": 2}))
    assert command(*two, VMAP).status == 0
    assert command(*two, "hydra.sweep.dir=alone").status == 0
    for job in range(2):
        member, alone = (command.here / name / str(job) for name in ("sweep", "alone"))
        assert files(member) == files(alone)
        sizes = [(each / "weights").stat().st_size for each in (member, alone)]
        assert sizes[0] == sizes[1]
        weights = [torch.load(each / "weights") for each in (member, alone)]
        for name, value in weights[0].items():
            torch.testing.assert_close(value, weights[1][name], rtol=1e-3, atol=1e-5)
        left, right = (json.loads((each / "run.json").read_text()) for each in (member, alone))
        assert list(left) == list(right)
        for key in ("status", "stop_reason", "seed", "data", "built_with", "git"):
            assert left[key] == right[key], key
        assert left["final"] == pytest.approx(right["final"], rel=1e-3, abs=1e-3)
        logged = [(each / "run.log").read_text().count("\n") for each in (member, alone)]
        assert logged[0] == logged[1] >= 2


@pytest.mark.slow
def test_a_member_is_loaded_evaluated_and_rerun_as_any_run(command: Command) -> None:
    assert command(*OF_ALL, VMAP, "seed=0,1", fates({"epochs": 2})).status == 0
    sweep = command.here / "sweep"
    model = ll.load(sweep / "1")
    for name, value in torch.load(sweep / "1" / "weights").items():
        assert torch.equal(model.state_dict()[name], value)
    again = command("rerun=sweep/1", "hydra.run.dir=again")
    assert again.status == 0, again.err
    rerun = json.loads((command.here / "again" / "run.json").read_text())
    assert rerun["final"] == pytest.approx(record(sweep, 1)["final"], rel=1e-3, abs=1e-3)


@pytest.mark.long
def test_more_members_than_python_nests_by_default(command: Command) -> None:
    jobs = ("seed=range(40)", "hydra.launcher.members=64", fates({"epochs": 1}), "loggers=[]")
    ended = command(*OF_ALL, VMAP, *jobs)
    assert ended.status == 0, ended.err
    assert line_of(ended, "trained together: ") == "trained together: jobs 0-39"
    assert statuses(command.here / "sweep", 40) == ["COMPLETED"] * 40


@pytest.mark.slow
def test_jobs_that_fail_before_they_begin_leave_the_others_alone(command: Command) -> None:
    """Another run has claimed the directory of one of them."""
    directory = command.here / "sweep" / "1"
    directory.mkdir(parents=True)
    (directory / "run.json").write_text("{}")
    ended = command(*OF_ALL, VMAP, "seed=0,1,2", fates({}))
    assert ended.status == 1
    assert [record(command.here / "sweep", job)["status"] for job in (0, 2)] == ["COMPLETED"] * 2


def weights_of(sweep: Path, jobs: Sequence[int]) -> list[dict[str, torch.Tensor]]:
    return [torch.load(sweep / str(job) / "weights") for job in jobs]


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    ["SIGTERM", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("SIGINT", "SIGKILL"))],
)
def test_the_same_command_resumes_a_group_with_the_same_bits(tmp_path: Path, kind: str) -> None:
    """One job had ended when it was interrupted, or killed."""
    jobs = fates({"epochs": 1}, {}, {"kind": "told", "lr": 0.02}, {"lr": 0.03})
    whole = in_a_process(tmp_path, *OF_ALL, VMAP, jobs, "hydra.sweep.dir=whole")
    assert whole.status == 0, whole.err
    first = in_a_process(tmp_path, *OF_ALL, VMAP, jobs, FATE=kind)
    assert first.status != 0
    wanted = {"SIGTERM": "INTERRUPTED", "SIGINT": "INTERRUPTED", "SIGKILL": "RUNNING"}[kind]
    assert statuses(tmp_path / "sweep", 4) == ["COMPLETED", *[wanted] * 3]
    again = in_a_process(tmp_path, *OF_ALL, VMAP, jobs)
    assert again.status == 0, again.err
    assert "1 of 4 jobs have completed already" in again.out
    pairs = zip(
        weights_of(tmp_path / "whole", range(4)),
        weights_of(tmp_path / "sweep", range(4)),
        strict=True,
    )
    for before, after in pairs:
        for name, value in before.items():
            assert torch.equal(value, after[name])
    for job in range(4):
        tables = [(tmp_path / s / str(job) / "metrics.csv").read_text() for s in ("whole", "sweep")]
        assert tables[0] == tables[1]


def test_a_wrong_number_of_members_is_refused() -> None:
    with pytest.raises(ArgumentError, match="members is 0; give a whole number of at least 1"):
        VmapLauncher(members=0)
