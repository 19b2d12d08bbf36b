"""Where runs are looked for, and the jobs of sweeps that have not begun."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from legoloop.core.errors import ArgumentError
from legoloop.results.choosing import last, varied_keys
from legoloop.results.places import jobs_not_begun, read_all, told, usual_folders
from legoloop.state.sweep_record import lock_sweep
from tests.results.made_runs import lr_and_seed, made_record, made_run


def test_the_newest_sweep_is_listed_by_its_record_and_not_by_its_name(tmp_path: Path) -> None:
    old = made_record(tmp_path / "multirun" / "z", [["a=1"]], "2026-11-22T12:00:00.000+00:00")
    new = made_record(tmp_path / "outputs" / "a", [["a=1"]], "2026-11-22T12:30:00.000+01:00")
    made_run(tmp_path / "outputs", "alone")
    assert usual_folders(tmp_path) == [old]
    made_record(new, [["a=1"]], "2026-11-22T13:30:00.000+01:00")
    assert usual_folders(tmp_path) == [new]
    assert told([new]) == f"no DIR: the newest sweep, {new}"
    both = [tmp_path / "outputs", tmp_path / "multirun"]
    assert usual_folders(tmp_path, only_newest_sweep=False) == both
    (old / "sweep.json").write_text("[1")
    (new / "sweep.json").write_text('{"started": 3}')
    assert usual_folders(tmp_path)[0] in (old, new), "a damaged record is one of an unknown time"


def test_without_a_sweep_all_runs_are_listed(tmp_path: Path) -> None:
    made_run(tmp_path / "outputs", "a")
    (tmp_path / "multirun").mkdir()
    assert usual_folders(tmp_path) == [tmp_path / "outputs"]
    assert told([tmp_path]) == f"no DIR: all runs in {tmp_path}"
    with pytest.raises(ArgumentError, match="no DIR, and there are no runs in outputs/"):
        usual_folders(tmp_path / "multirun")


def test_jobs_that_have_not_begun_stand_among_the_runs(tmp_path: Path) -> None:
    jobs = [[f"optimizer.lr={lr}", "model=mlp"] for lr in (0.1, 0.2, 0.3)]
    sweep = made_record(tmp_path / "sweep", jobs)
    made_run(sweep, "1", lr_and_seed(0.2, 0) | {"model": {"_target_": "a"}}, {"val/f1": 0.5})
    runs = read_all(sweep).runs
    assert [(run.name, run.value("status"), run.value("optimizer.lr")) for run in runs] == [
        *(("0", "not begun", 0.1), ("1", "COMPLETED", 0.2), ("2", "not begun", 0.3)),
    ]
    assert varied_keys(runs) == ["optimizer.lr"], "the option of a group is no key"
    assert [run.name for run in last(2, runs)] == ["1"]
    assert [run.name for run in read_all(tmp_path).runs] == ["sweep/0", "sweep/1", "sweep/2"]


def test_a_sweep_of_which_no_job_has_begun_is_listed(tmp_path: Path) -> None:
    sweep = made_record(tmp_path / "b", [["a=1"]])
    assert [run.name for run in read_all(sweep).runs] == ["0"]
    made_run(tmp_path / "a", "0")
    several = read_all(sweep, tmp_path / "a").runs
    assert [run.name for run in several] == [f"{sweep}/0", f"{tmp_path}/a/0"]


def test_jobs_are_found_by_the_directories_that_the_sweep_gave_them(tmp_path: Path) -> None:
    sweep = made_record(tmp_path, [["a=1"], ["a=2"]], directories=["a=1", "deep/a=2"])
    made_run(tmp_path, "a=1")
    assert [run.name for run in jobs_not_begun(sweep)] == ["deep/a=2"]


def test_the_record_of_a_sweep_says_where_its_jobs_are(tmp_path: Path) -> None:
    for resume in ("never", "auto"):
        jobs = ([["a=1"], ["a=2"]], [{"a": 1}, {"a": 2}])
        lock_sweep(tmp_path, *jobs, resume, directories=["x", "y"]).release()  # type: ignore[arg-type]
        assert [run.name for run in jobs_not_begun(tmp_path)] == ["x", "y"]


def test_a_job_that_was_put_aside_has_begun(tmp_path: Path) -> None:
    sweep = made_record(tmp_path, [["a=1"], ["a=2"]])
    made_run(tmp_path / "archive", "0")
    assert [run.name for run in read_all(sweep).runs] == ["1"]


@pytest.mark.parametrize(
    "jobs",
    [
        '{"jobs": 3}',
        '{"jobs": [3, ["a", 1]]}',
        '{"jobs": [["a=1"]], "directories": ["../../else"]}',
        '{"jobs": [["a=1"]], "directories": ["/etc"]}',
        '{"jobs": [["a=1"]], "directories": [3]}',
        '{"jobs": [["a=1"]], "directories": [""]}',
        "[" * 99,
        "3",
    ],
)
def test_a_damaged_record_of_a_sweep_has_no_jobs(tmp_path: Path, jobs: str) -> None:
    (tmp_path / "sweep.json").write_text(jobs)
    assert jobs_not_begun(tmp_path) == []


def test_a_record_that_is_no_file_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "sweep.json")
    assert jobs_not_begun(tmp_path) == []
