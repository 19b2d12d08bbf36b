from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.sweep.job import Job, JobTask
from tests.app.composed import tree_of


def job(tmp_path: Path, *overrides: str, **changes: Any) -> Job:
    return Job(3, overrides, tmp_path, Blueprint.of(tree_of(run_dir=str(tmp_path), **changes)))


def test_how_a_job_is_launched_is_not_what_it_does(tmp_path: Path) -> None:
    given = ("seed=1", "resume=never", "+sweep.on_failure=stop", "model=mlp", "++show=null")
    given += ("name=a", "tags=[a]", "++notes=a", "profile=true")
    more = ("rerun=then", "run_dir=x", "on_config_change=accept", "resumes=1", "~plugins.resume")
    assert job(tmp_path, *given, *more).training_overrides == [
        *("seed=1", "model=mlp", "resumes=1", "~plugins.resume"),
    ]
    one, other = job(tmp_path, resume="must"), job(tmp_path, sweep={"on_failure": "stop"})
    assert one.blueprint.behaviour() == other.blueprint.behaviour()
    assert not any(
        key.startswith(("resume", "sweep", "run_dir")) for key in one.blueprint.behaviour()
    )
    assert job(tmp_path, seed=1).blueprint.behaviour() != one.blueprint.behaviour()


@pytest.mark.parametrize(
    ("record", "completed"),
    [
        ({"status": "COMPLETED"}, True),
        ({"status": "FAILED"}, False),
        ({"status": "INTERRUPTED"}, False),
        ({"status": "RUNNING"}, False),
        ({}, False),
        (None, False),
    ],
)
def test_a_job_has_completed_if_its_record_says_so(
    record: Any, completed: bool, tmp_path: Path
) -> None:
    if record is not None:
        (tmp_path / "run.json").write_text(json.dumps(record))
    assert job(tmp_path).has_completed is completed


def test_a_damaged_record_is_no_completed_job(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    assert not job(tmp_path).has_completed


def gives_back(tree: DictConfig, blueprint: Blueprint | None) -> Any:
    torch.set_default_dtype(torch.float64)
    return tree, blueprint


@pytest.fixture
def number_three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hydra is running the job with this number."""
    cfg = OmegaConf.create({"hydra": {"job": {"num": 3}}})
    monkeypatch.setattr(HydraConfig.instance(), "cfg", cfg)


def test_the_task_is_given_the_blueprint_that_was_checked(
    number_three: None, tmp_path: Path
) -> None:
    known = job(tmp_path).blueprint
    tree = OmegaConf.create()
    task = JobTask(gives_back, {2: Blueprint.of(tree_of(seed=2)), 3: known})
    assert task(tree) == (tree, known)
    assert JobTask(gives_back, {})(tree) == (tree, None)


def test_what_a_task_changes_of_the_process_is_undone(number_three: None) -> None:
    JobTask(gives_back, {})(OmegaConf.create())
    assert torch.get_default_dtype() is torch.float32


def test_a_job_is_sent_with_its_own_blueprint_alone(tmp_path: Path) -> None:
    known = job(tmp_path).blueprint
    task = JobTask(gives_back, dict.fromkeys(range(5), known))
    sent = pickle.loads(pickle.dumps(task.of_job(3)))
    assert (sent.task, sent.blueprints) == (gives_back, {3: known})
    assert task.of_job(7).blueprints == {}
