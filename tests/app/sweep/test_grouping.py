"""Which jobs are trained together, found from their blueprints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from legoloop.app.sweep import programs
from legoloop.app.sweep.grouping import Grouping, Together, grouped
from legoloop.app.sweep.programs import Programs
from tests.app.composed import blueprint_of

BASE = ("data=digits", "model=mlp", "loggers=[]")


def of(*jobs: Sequence[str], most: int = 16) -> Grouping:
    blueprints = {number: blueprint_of(*BASE, *job) for number, job in enumerate(jobs)}
    return grouped(blueprints, most)


@pytest.mark.parametrize(
    "other",
    [
        ["seed=1"],
        ["optimizer.lr=0.1", "optimizer.betas=[0.8,0.9]", "optimizer.weight_decay=1"],
        ["num_epochs=3"],
        ["scheduler=one_cycle"],
        ["plugins=[default,early_stopping,clipping]", "plugins.clipping.max_norm=0.1"],
        ["plugins=[default,ema,best_weights]"],
        ["loss.label_smoothing=0.1"],
        ["plugins.descent.guard.action=skip"],
        ["loggers=[csv,json_lines]", "name=second", "eval_samples=10", "epoch_size=100"],
    ],
)
def test_numbers_and_what_is_each_jobs_own_may_differ(other: list[str]) -> None:
    assert of([], other) == Grouping((Together((0, 1)),), {})


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (["model.hidden=[64]"], "model.hidden differs"),
        (["model.dropout=0.5"], "model.dropout differs"),
        (["optimizer=sgd"], "optimizer._target_ differs"),
        (["+optimizer.amsgrad=true"], "optimizer.amsgrad differs"),
        (["param_groups=no_decay"], "optimizer.params._target_ differs"),
        (["+loss.reduction=none"], "loss.reduction differs"),
        (["precision=amp_bf16"], "feed.precision differs"),
        (["compile=true"], "plugins.descent.compile differs"),
        (["plugins.descent.micro_batch_size=8"], "plugins.descent.micro_batch_size differs"),
        (["data.loaders.default.batch_size=16"], "data.loaders.default.batch_size differs"),
        (["data.datasets.train.train=false"], "data.datasets.train.train differs"),
        (["device=cpu"], "device differs"),
    ],
)
def test_what_the_program_runs_on_keeps_a_job_apart(other: list[str], reason: str) -> None:
    assert of([], ["seed=1"], other) == Grouping((Together((0, 1)),), {2: reason})


def test_another_optimizer_keeps_its_jobs_alone() -> None:
    found = of(["optimizer=rmsprop"], ["optimizer=rmsprop", "optimizer.lr=0.5"])
    reason = "its optimizer is a RMSprop, none of SGD, Adam, AdamW"
    assert found == Grouping((), dict.fromkeys((0, 1), reason))


def test_groups_are_as_few_and_as_equal_as_can_be() -> None:
    found = of(*([f"seed={seed}"] for seed in range(7)), most=3)
    assert [group.numbers for group in found.groups] == [(0, 1), (2, 3), (4, 5, 6)]
    assert found.line() == "trained together: jobs 0-1 | jobs 2-3 | jobs 4-6"


def test_a_line_tells_what_keeps_jobs_apart() -> None:
    found = of([], ["seed=1"], ["model.hidden=[9]"], ["plugins=[default,mixup]"], ["ranks=2"])
    assert found.line() == (
        "trained together: jobs 0-1; alone: job 2 (model.hidden differs), job 3 (plugins.mixup "
        "draws random numbers in a step, which members do not have of their own), job 4 "
        "(ranks is 2)"
    )
    assert of([]).line().startswith("trained together: no jobs; alone: job 0 (")


class Fits:
    """Room for so many members."""

    def __init__(self, members: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(programs, "bytes_of_a_member", lambda host: 100)
        monkeypatch.setattr(programs, "free_bytes", lambda device: 100 * members + 50)


def checked(jobs: int, *overrides: str) -> tuple[Grouping, list[str]]:
    blueprints = {n: blueprint_of(*BASE, f"seed={n}", *overrides) for n in range(jobs)}
    tried = Programs(blueprints)
    return tried.checked(grouped(blueprints, 16), range(jobs)), tried.lines


def test_members_are_cut_to_what_fits_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Fits(2, monkeypatch)
    found, lines = checked(5)
    assert [group.numbers for group in found.groups] == [(1, 2), (3, 4)]
    assert found.alone == {0: "no other fits beside it"}
    assert lines == [
        "memory: 5 times 100 B, 500 B of 250 B",
        "members is cut to 2, which is what fits",
    ]


def test_a_program_that_cannot_be_run_keeps_all_its_jobs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = "tests.training.members.test_support.Counts"
    found, lines = checked(2, f"model._target_={model}")
    reason = "its forward pass changes attributes of the model or the loss"
    assert found == Grouping((), {0: reason, 1: reason})
    assert lines == []


def test_memory_is_told_from_what_a_run_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found, (line,) = checked(2)
    assert len(found.groups) == 1
    kilobytes = float(line.removeprefix("memory: 2 times ").partition(" kB")[0])
    weights = 4 * (64 * 128 + 128 + 128 * 10 + 10) / 1000
    assert 8 * weights < kilobytes < 12 * weights
