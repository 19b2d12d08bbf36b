from __future__ import annotations

import csv
import os
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from legoloop.core.growing_state import from_text
from legoloop.state.checkpoints import read_checkpoint, write_checkpoint
from tests.told import Told


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "metrics.csv"


@pytest.fixture(scope="module")
def shared_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("metrics") / "metrics.csv"


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def reported(table: ll.CsvMetrics, step: int, epoch: int, **scalars: float) -> None:
    counter: Any = table.counter
    counter.steps, counter.epochs = step, epoch
    table.sources[0].now = scalars  # type: ignore[attr-defined]
    table.epoch_end()


@given(value=st.floats(allow_nan=False))
def test_numbers_read_back_exactly(shared_path: Path, value: float) -> None:
    reported(ll.CsvMetrics(shared_path, ll.Counter(), Told()), 1, 1, x=value)
    assert float(read(shared_path)[0]["x"]) == value


def test_has_one_row_a_step_and_a_column_for_a_late_scalar(path: Path) -> None:
    table = ll.CsvMetrics(path, ll.Counter(), Told())

    reported(table, 10, 1, loss=0.5)
    reported(table, 20, 2, loss=0.25)
    reported(table, 20, 2, loss=0.25, final=1.0)
    table.close()

    assert path.read_text() == "step,epoch,loss,final\n10,1,0.5,\n20,2,0.25,1.0\n"


def test_the_file_is_whole_after_every_report_and_nothing_else_is_left(path: Path) -> None:
    table = ll.CsvMetrics(path, ll.Counter(), Told())
    for step in range(1, 4):
        reported(table, step, step, loss=1.0)
        found = [row["step"] for row in read(path)]
        assert found == [str(n) for n in range(1, len(found) + 1)]
        assert list(path.parent.iterdir()) == [path]


def written_times(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the file holds each time that it was written."""
    found: list[str] = []
    write_file = ll.CsvMetrics.write_file

    def noted(table: ll.CsvMetrics) -> None:
        write_file(table)
        found.append(path.read_text())

    monkeypatch.setattr(ll.CsvMetrics, "write_file", noted)
    return found


def test_reports_that_follow_each_other_quickly_are_written_together(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, took = 0.0, 1.0

    def clock() -> float:
        nonlocal now
        now += took / 2  # a write looks at it before and after
        return now

    monkeypatch.setattr("time.monotonic", clock)
    found = written_times(path, monkeypatch)
    table = ll.CsvMetrics(path, ll.Counter(), Told())

    for step in range(1, 1001):
        reported(table, step, 1, loss=1.0)

    assert 5 <= len(found) <= 15  # of a thousand: a hundredth of the time


@pytest.mark.parametrize(
    "then",
    [ll.CsvMetrics.train_end, ll.CsvMetrics.close, ll.CsvMetrics.state_dict],
    ids=lambda method: str(method.__name__),
)
def test_at_the_end_and_at_a_checkpoint_all_of_it_is_there(then: Any, path: Path) -> None:
    table = ll.CsvMetrics(path, ll.Counter(), Told())
    for step in range(1, 50):
        reported(table, step, step, loss=1.0)
    then(table)
    assert [row["step"] for row in read(path)] == [str(n) for n in range(1, 50)]


def test_is_written_no_more_often_than_something_new_is_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = written_times(path, monkeypatch)
    table = ll.CsvMetrics(path, ll.Counter(), Told())
    reported(table, 1, 1, loss=1.0)
    for _ in range(3):
        table.state_dict()
    table.train_end()
    table.close()
    assert len(found) == 1


def test_a_file_that_cannot_be_written_is_told_and_does_not_hide_how_a_run_ended(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.mkdir(parents=True)
    table = ll.CsvMetrics(path, ll.Counter(), Told())
    with pytest.raises(ll.DataError, match=r"metrics.csv cannot be written \(Is a directory"):
        reported(table, 1, 1, loss=1.0)
    table.close()
    assert "metrics.csv cannot be written" in caplog.text


def test_a_row_of_the_last_step_counts_the_epoch_that_ends_with_it(path: Path) -> None:
    table = ll.CsvMetrics(path, counter := ll.Counter(), told := Told(), every_steps=2)
    counter.steps, told.now = 2, {"loss": 1.0}
    table.batch_end(ll.Step())
    counter.epochs, told.now = 1, {"loss": 1.0, "val/loss": 2.0}
    table.epoch_end()
    table.close()
    assert path.read_text() == "step,epoch,loss,val/loss\n2,1,1.0,2.0\n"


def test_no_file_without_a_scalar(path: Path) -> None:
    table = ll.CsvMetrics(path, ll.Counter(), Told())
    table.epoch_end()
    assert not path.exists()


def test_odd_tags_are_quoted(path: Path) -> None:
    reported(ll.CsvMetrics(path, ll.Counter(), Told()), 1, 1, **{'a,"b"': 2.0})
    assert read(path)[0]['a,"b"'] == "2.0"


def test_rows_survive_a_resume(path: Path) -> None:
    first = ll.CsvMetrics(path, ll.Counter(), Told())
    reported(first, 10, 1, loss=0.5)
    write_checkpoint(path.parent / "10", first.state_dict())
    reported(first, 20, 2, loss=9.0)  # lost with the process

    second = ll.CsvMetrics(path, ll.Counter(), Told())
    second.load_state_dict(read_checkpoint(path.parent / "10"))
    reported(second, 20, 2, loss=0.25)
    second.close()

    assert [row["loss"] for row in read(path)] == ["0.5", "0.25"]


def test_a_resumed_run_that_has_nothing_to_report_puts_the_file_right(path: Path) -> None:
    first = ll.CsvMetrics(path, ll.Counter(), Told())
    reported(first, 10, 1, loss=0.5)
    write_checkpoint(path.parent / "10", first.state_dict())
    whole = path.read_text()
    reported(first, 20, 2, loss=9.0)  # lost with the process
    first.close()

    second = ll.CsvMetrics(path, ll.Counter(), Told())
    second.load_state_dict(read_checkpoint(path.parent / "10"))
    assert path.read_text() != whole
    second.train_start()

    assert path.read_text() == whole


@pytest.mark.parametrize("kind", [ll.CsvMetrics, ll.JsonLines])
def test_a_resume_from_a_state_without_a_report_removes_the_file(path: Path, kind: Any) -> None:
    state = kind(path, ll.Counter(), Told()).state_dict()
    reported(kind(path, ll.Counter(), Told()), 10, 1, loss=0.5)  # lost with the process

    resumed = kind(path, ll.Counter(), Told())
    resumed.load_state_dict(state)
    resumed.train_start()

    assert not path.exists()


def test_the_train_start_of_a_fresh_run_leaves_a_file_alone(path: Path) -> None:
    reported(ll.CsvMetrics(path, ll.Counter(), Told()), 10, 1, loss=0.5)
    whole = path.read_text()
    ll.CsvMetrics(path, ll.Counter(), Told()).train_start()
    assert path.read_text() == whole


reports = st.lists(
    st.tuples(st.integers(0, 3), st.dictionaries(st.sampled_from("abcd"), st.floats(width=32))),
    max_size=6,
)


@given(reports)
def test_the_file_is_the_table_of_all_that_was_written(
    shared_path: Path, reports: list[tuple[int, dict[str, float]]]
) -> None:
    shared_path.unlink(missing_ok=True)
    table = ll.CsvMetrics(shared_path, ll.Counter(), Told())
    expected: dict[str, dict[str, str]] = {}
    for step, scalars in reports:
        table.write(step, scalars)
        row = expected.setdefault(str(step), {"step": str(step), "epoch": "0"})
        row |= {tag: repr(value) for tag, value in scalars.items()}
        table.close()

        columns = dict.fromkeys(tag for row in expected.values() for tag in row)
        assert read(shared_path) == [
            {tag: row.get(tag, "") for tag in columns} for row in expected.values()
        ]


@pytest.mark.parametrize("tag", ["step", "epoch"])
def test_a_scalar_that_would_overwrite_a_column_of_its_own_is_refused(path: Path, tag: str) -> None:
    table = ll.CsvMetrics(path, ll.Counter(), Told(**{tag: 0.25}))
    with pytest.raises(ll.DataError, match=f"'{tag}', which is a column of metrics.csv already"):
        table.epoch_end()
    assert not path.exists()


def test_the_file_has_all_reports_at_a_checkpoint_and_is_on_the_disk_at_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def counted(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", counted)
    table = ll.CsvMetrics(path, ll.Counter(), Told())
    reported(table, 1, 1, x=1.0)
    table._throttle._due = inf
    for step in (2, 3):
        reported(table, step, step, x=1.0)
        synced.clear()
        state = table.state_dict()
        assert (len(read(path)), len(from_text(state["rows"])), synced) == (step, step, [])
    table.train_end()
    assert len(synced) == 2
    table.close()
    assert len(synced) == 2
