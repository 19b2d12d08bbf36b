from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from legoloop.core.errors import ArgumentError
from legoloop.results.choosing import varied_keys
from legoloop.results.reading import Run, existing, read_runs
from legoloop.state.run_record import RunRecord
from tests.results.made_runs import lr_and_seed, made_run, made_sweep


def only_run(folder: Path) -> Run:
    found = read_runs(folder)
    assert found.problems == []
    (run,) = found.runs
    return run


def test_runs_are_found_at_any_depth_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("sweep/10", "sweep/2", "a/b/c/run", "single"):
        made_run(tmp_path, name, {"seed": 0})
    made_run(tmp_path, "single/inside", {"seed": 0})
    assert [run.name for run in read_runs(tmp_path).runs] == [
        "a/b/c/run",
        "single",
        "sweep/2",
        "sweep/10",
    ]


def test_a_folder_may_be_a_run_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = made_run(tmp_path, "one", {"seed": 0})
    assert only_run(directory).name == "one"
    monkeypatch.chdir(directory)
    assert only_run(Path(".")).name == "one"


def test_names_begin_with_the_folder_where_there_are_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_run(tmp_path / "a", "0", {"seed": 0})
    made_run(tmp_path / "b", "0", {"seed": 0})
    monkeypatch.chdir(tmp_path)
    assert [run.name for run in read_runs("a", "b").runs] == ["a/0", "b/0"]


def test_a_run_is_listed_once_however_often_it_is_found(tmp_path: Path) -> None:
    made_run(tmp_path, "a/0", {"seed": 0})
    assert len(read_runs(tmp_path, tmp_path / "a", tmp_path / "a" / "0").runs) == 1


def test_a_completed_run_tells_what_its_record_says(tmp_path: Path) -> None:
    final = {"val/accuracy": 0.5}
    made_run(tmp_path, "0", lr_and_seed(0.1, 3), final, best={"val/accuracy": 0.75})
    run = only_run(tmp_path)
    asked = ("status", "duration", "val/accuracy", "best val/accuracy", "optimizer.betas", "none")
    assert [run.value(key) for key in asked] == ["COMPLETED", 1.5, 0.5, 0.75, [0.9, 0.99], None]


def test_a_run_without_final_values_is_told_by_its_metrics(tmp_path: Path) -> None:
    metrics = "step,epoch,val/loss,val/auc,lr\n1,1,0.25,nan,\n2,2,0.125,0.75,\n3,3,0.5,0.5,0.1\n"
    made_run(tmp_path, "0", {"seed": 0}, status="RUNNING", metrics=metrics)
    run = only_run(tmp_path)
    assert run.final == {"val/loss": 0.5, "val/auc": 0.5, "lr": 0.1}
    assert run.best == {"val/loss": 0.125, "val/auc": 0.75}
    assert run.duration is None


def test_what_was_not_finite_is_no_number(tmp_path: Path) -> None:
    directory = made_run(tmp_path, "0", {"seed": 0})
    record = {"status": "COMPLETED", "final": {"loss": None, "f1": 0.5}, "best": {}}
    (directory / "run.json").write_text(json.dumps(record))
    run = only_run(tmp_path)
    assert math.isnan(run.value("loss"))
    assert run.value("best loss") is None


def test_a_run_that_has_only_begun_measured_nothing(tmp_path: Path) -> None:
    made_run(tmp_path, "0", status="RUNNING")
    run = only_run(tmp_path)
    assert (run.value("status"), run.final, run.best) == ("KILLED", {}, {})


def test_a_run_that_failed_without_a_configuration_is_told_by_its_overrides(
    tmp_path: Path,
) -> None:
    made_run(tmp_path, "0", lr_and_seed(0.1, 0))
    made_run(tmp_path, "1", lr_and_seed(0.01, 0))
    written = ["optimizer.lr=1e-2", "+new=[1,2]", "~scheduler", "hydra.verbose=true"]
    made_run(tmp_path, "2", status="FAILED", overrides=written, cause="no data")
    runs = read_runs(tmp_path).runs
    assert runs[2].config == {"optimizer.lr": 0.01, "new": [1, 2]}
    assert varied_keys(runs) == ["optimizer.lr", "new"]


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"{}",
        b'{"status": null}',
        b'{"status": "FAILED", "overrides": "seed=0"}',
        b'{"status": "COMPLETED", "final": 3}',
        b'{"status": "COMPLETED", "final": {"loss": "low"}}',
        b'{"status": "COMPLETED", "final": {"loss": 1}, "best": {"loss": 1}}',
        b"[" * 100_000,
    ],
    ids=lambda record: record[:40].decode("latin1"),
)
def test_a_damaged_record_is_one_line_and_the_others_are_listed(
    tmp_path: Path, record: bytes
) -> None:
    made_run(tmp_path, "good", {"seed": 0})
    bad = made_run(tmp_path, "bad", {"seed": 0})
    (bad / "run.json").write_bytes(record)
    found = read_runs(tmp_path)
    assert [run.name for run in found.runs] == ["good"]
    (problem,) = found.problems
    assert problem.startswith(f"{bad}: run.json ")
    assert "\n" not in problem


def test_a_missing_record_is_told_where_hydra_began_a_run(tmp_path: Path) -> None:
    made_run(tmp_path, "good", {"seed": 0})
    (tmp_path / "killed" / ".hydra").mkdir(parents=True)
    (tmp_path / "something else").mkdir()
    found = read_runs(tmp_path)
    assert found.problems == [f"{tmp_path / 'killed'}: has no run.json; skipped"]
    assert len(found.runs) == 1


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config.yaml", "a: [1"),
        ("config.yaml", "- 1"),
        ("metrics.csv", "step,epoch,loss\n1,1,x\n"),
        ("metrics.csv", "step\n1,2,3\n"),
    ],
)
def test_other_damaged_files_are_one_line_too(tmp_path: Path, file: str, text: str) -> None:
    bad = made_run(tmp_path, "bad", {"seed": 0})
    (bad / file).write_text(text)
    found = read_runs(tmp_path)
    assert found.runs == []
    (problem,) = found.problems
    assert problem.startswith(f"{bad}: {file} ")
    assert "\n" not in problem


def test_paths_inside_the_run_directory_do_not_vary(tmp_path: Path) -> None:
    runs = read_runs(made_sweep(tmp_path, lrs=[0.1])).runs
    assert runs[0].config["predicts"] == "${run_dir}/predicts.csv"
    assert "run_dir" not in runs[0].config
    assert varied_keys(runs) == ["seed"]


def test_a_completed_run_costs_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_sweep(tmp_path, seeds=range(5))
    opened: list[str] = []
    really_open = os.open

    def counted(path: Any, *args: Any, **kwargs: Any) -> int:
        opened.append(os.path.basename(path))
        return really_open(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", counted)
    assert len(read_runs(tmp_path).runs) == 10
    assert sorted(opened) == ["config.yaml"] * 10 + ["run.json"] * 10


def test_a_folder_that_is_not_there_is_refused_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "multirun").mkdir()
    with pytest.raises(ArgumentError, match=r"no such folder; did you mean .*multirun\?"):
        read_runs(tmp_path / "multirum")


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"contains no run; .* is one that has run\.json"):
        read_runs(tmp_path)


def test_a_run_is_running_as_long_as_its_process_has_the_directory(tmp_path: Path) -> None:
    record = RunRecord.start(tmp_path / "0", seed=0, overrides=[])
    assert [run.value("status") for run in read_runs(tmp_path).runs] == ["RUNNING"]
    record.release()
    assert [run.value("status") for run in read_runs(tmp_path).runs] == ["KILLED"]
    assert not (tmp_path / ".run.lock").exists()


def test_a_folder_whose_name_is_too_long_is_told() -> None:
    with pytest.raises(ArgumentError, match="there is no such folder"):
        existing(Path("a" * 5000))
