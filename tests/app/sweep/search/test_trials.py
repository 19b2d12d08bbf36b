"""What becomes of a trial whose run has ended, as the record of the run tells it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from legoloop.app.sweep.search.objective import Objective
from legoloop.app.sweep.search.search import Search
from legoloop.app.sweep.search.space import Space
from legoloop.app.sweep.search.study import SearchStudy, StudySettings, warmed_up
from legoloop.core.study_storage import RUN_DIR
from legoloop.state.run_record import RunRecord

OBJECTIVE = Objective.of(["final/val/accuracy", "lr"], ["max", "min"])
WHOLE = {"final": {"final/val/accuracy": 0.5, "lr": 0.1}}
ENDED: dict[str, tuple[str | None, dict[str, Any], str]] = {
    "completed": ("COMPLETED", WHOLE, "COMPLETE"),
    "pruned": ("PRUNED", WHOLE, "PRUNED"),
    "failed": ("FAILED", {"cause": "odd"}, "FAIL"),
    "interrupted": ("INTERRUPTED", WHOLE, "RUNNING"),
    "completed without a metric": ("COMPLETED", {"final": {"lr": 0.1}}, "FAIL"),
    "completed with nan": (
        "COMPLETED",
        {"final": {"final/val/accuracy": None, "lr": 0.1}},
        "FAIL",
    ),
    "completed without any": ("COMPLETED", {}, "FAIL"),
    "interrupted before it began": (None, {}, "RUNNING"),
}


def search_in(folder: Path, stops_at_failure: bool = False) -> Search:
    sampler = {"_target_": "optuna.samplers.RandomSampler", "seed": 0}
    settings = StudySettings("mine", str(folder / "study.journal"), OBJECTIVE, sampler, None)
    study = SearchStudy(settings, started="today")
    space = Space([], {}, {}, [])
    composer: Any = None  # makes no job here
    return Search(study, space, OBJECTIVE, composer, 3, stops_at_failure)


@pytest.mark.parametrize(("status", "facts", "state"), ENDED.values(), ids=ENDED)
def test_it_is_told_what_the_record_says(
    status: Any, facts: dict[str, Any], state: str, tmp_path: Path
) -> None:
    search = search_in(tmp_path)
    trial = search.study.ask(0)
    trial.set_user_attr(RUN_DIR, str(tmp_path / "0"))
    search._running[0] = trial, tmp_path / "0"
    if status is not None:
        RunRecord.start(tmp_path / "0", seed=0, overrides=[]).finish(status, **facts)
    search.ended(0)
    search.ended(0)
    assert [each.state.name for each in search.study.trials()] == [state]
    assert search.left() == (3 if state == "RUNNING" else 2)


def test_a_failure_that_stops_the_search_is_left_to_be_run_again(tmp_path: Path) -> None:
    search = search_in(tmp_path, stops_at_failure=True)
    search._running[0] = search.study.ask(0), tmp_path / "0"
    RunRecord.start(tmp_path / "0", seed=0, overrides=[]).finish("FAILED", cause="odd")
    search.ended(0)
    assert search.has_stopped
    assert [each.state.name for each in search.study.trials()] == ["RUNNING"]
    assert list(search.jobs(lambda job: None)) == []


def test_a_seeded_sampler_chooses_by_the_number_of_the_trial(tmp_path: Path) -> None:
    def chosen(folder: Path, numbers: range) -> list[float]:
        search = search_in(folder)
        return [search.study.ask(number).suggest_float("x", 0, 1) for number in numbers]

    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    at_once = chosen(folders[0], range(4))
    resumed = chosen(folders[1], range(2)) + chosen(folders[1], range(2, 4))
    assert resumed == at_once
    assert len(set(at_once)) == 4


def test_the_first_tenth_of_a_run_is_spared_unless_something_else_is_said() -> None:
    median = {"_target_": "optuna.pruners.MedianPruner"}
    assert warmed_up(median, 8) == {**median, "n_warmup_steps": 0}
    assert warmed_up(median, 160) == {**median, "n_warmup_steps": 16}
    said = {**median, "n_warmup_steps": 3}
    assert warmed_up(said, 160) == said
    other = {"_target_": "optuna.pruners.HyperbandPruner"}
    assert warmed_up(other, 160) == other
    assert warmed_up(median, None) == median
