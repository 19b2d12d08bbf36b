from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from legoloop.app.sweep import watch
from legoloop.app.sweep.watch import WatchedJob, labels_of, metric_of_interest, monitored
from legoloop.state.run_record import RunRecord


def watched(directory: Path, metric: str | None = None) -> WatchedJob:
    of_sweep: Any = SimpleNamespace(
        number=0,
        directory=directory,
        has_completed=False,
        blueprint=SimpleNamespace(settings=SimpleNamespace(num_epochs=4)),
    )
    return WatchedJob(of_sweep, "", metric)


def test_a_run_is_followed_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    job = watched(tmp_path / "0")
    job.look()
    assert job.state == "waiting"

    record = RunRecord.start(tmp_path / "0", 0, [])
    job.look()
    assert (job.state, job.epoch, job.value) == ("running", 0, None)

    table = tmp_path / "0" / "metrics.csv"
    table.write_text("step,epoch,loss,val/accuracy\n5,1,0.5,0.75\n10,2,0.25,0.5\n12,2,0.125,\n")
    job.look()
    assert (job.epoch, job.fraction, job.value, job.best) == (2, 0.5, 0.5, 0.75)
    assert job.metric == "val/accuracy"

    final, best = {"val/accuracy": 0.5}, {"val/accuracy": {"value": 0.875, "step": 15}}
    record.finish("COMPLETED", final=final, best=best)
    job.look()
    assert (job.state, job.fraction, job.best) == ("completed", 1.0, 0.875)
    assert job.seconds is not None


def test_what_has_not_changed_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    for name in ("read_record", "_last_rows"):
        original = getattr(watch, name)

        def counted(path: Path, original: Any = original) -> Any:
            read.append(path)
            return original(path)

        monkeypatch.setattr(watch, name, counted)
    job = watched(tmp_path)
    RunRecord.start(tmp_path, 0, []).release()
    (tmp_path / "metrics.csv").write_text("step,epoch\n1,1\n")
    for _ in range(5):
        job.look()
    assert len(read) == 2


def test_what_an_earlier_attempt_left_says_nothing_of_this_one(tmp_path: Path) -> None:
    RunRecord.start(tmp_path, 0, []).finish("FAILED", cause="earlier")
    job = watched(tmp_path)
    job.look()
    assert (job.state, job.cause) == ("waiting", None)
    RunRecord.start(tmp_path, 0, [], resume="auto").begin_attempt()
    job.look()
    assert job.state == "running"


@pytest.mark.parametrize("table", ["", "step,epoch\n1", "\x00", "step\n1,2,3\n", "e,f\n,\n", None])
def test_a_damaged_table_ends_nothing(table: str | None, tmp_path: Path) -> None:
    job = watched(tmp_path)
    RunRecord.start(tmp_path, 0, []).release()
    if table is None:
        os.mkfifo(tmp_path / "metrics.csv")
    else:
        (tmp_path / "metrics.csv").write_text(table)
    job.look()
    assert (job.state, job.value) == ("running", None)


def test_a_damaged_record_ends_nothing(tmp_path: Path) -> None:
    job = watched(tmp_path)
    (tmp_path / "run.json").write_text("[" * 9999)
    job.look()
    assert job.state == "waiting"


def test_of_a_long_table_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MOST_OF_A_TABLE", 64)
    job = watched(tmp_path, "val/loss")
    RunRecord.start(tmp_path, 0, []).release()
    rows = "".join(f"{n},{n},{1000 - n}.5\n" for n in range(1, 900))
    (tmp_path / "metrics.csv").write_text(f"step,epoch,val/loss\n{rows}")
    job.look()
    assert (job.epoch, job.value, job.best) == (899, 101.5, 101.5)


def test_a_job_is_named_by_what_it_differs_in() -> None:
    jobs = [
        ["model=mlp", "optimizer.lr=0.1", "+a.lr=1", "seed=0"],
        ["model=mlp", "optimizer.lr=0.2", "+a.lr=2", "seed=0", "b=c=d"],
    ]
    assert labels_of(jobs) == [
        "optimizer.lr 0.1, a.lr 1",
        "optimizer.lr 0.2, a.lr 2, b c=d",
    ]
    assert labels_of([["seed=0"]]) == [""]


def test_the_metric_is_the_monitored_one_or_the_first_of_a_validation() -> None:
    assert monitored({"plugins": {"a": {"metric": "speed"}, "b": {"metric": "val/f1"}}}) == "val/f1"
    assert monitored({"plugins": None}) is None
    assert metric_of_interest(["test/f1", "train/loss", "val/f1", "val/x"]) == "val/f1"
    assert metric_of_interest(["train/loss", "test/f1", "loss/mse"]) == "test/f1"
    assert metric_of_interest(["lr", "loss"]) is None


def test_a_job_that_recorded_nothing_may_have_printed_why(tmp_path: Path) -> None:
    output = tmp_path / "output.log"
    output.write_text("error: of an earlier attempt\n")
    job = watched(tmp_path)
    assert not job.did_not_begin()
    output.write_text("error: of an earlier attempt\nerror: the directory is in use\n")
    assert job.did_not_begin()
    assert (job.state, job.cause) == ("failed", "the directory is in use")
