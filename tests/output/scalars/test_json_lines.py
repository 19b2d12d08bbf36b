from __future__ import annotations

import json
from math import inf, nan
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from legoloop.state.checkpoints import read_checkpoint, write_checkpoint
from tests.told import Told


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "metrics.jsonl"


@pytest.fixture(scope="module")
def shared_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("metrics") / "metrics.jsonl"


def a_writer(path: Path) -> ll.JsonLines:
    return ll.JsonLines(path, ll.Counter(), Told())


def reported(writer: ll.JsonLines, step: int, epoch: int, **scalars: float) -> None:
    counter: Any = writer.counter
    counter.steps, counter.epochs = step, epoch
    writer.sources[0].now = scalars  # type: ignore[attr-defined]
    writer.epoch_end()


def read(path: Path) -> list[dict[str, Any]]:
    def refused(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=refused) for line in path.read_text().splitlines()]


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_read_back_exactly(shared_path: Path, value: float) -> None:
    reported(a_writer(shared_path), 1, 1, x=value)
    assert read(shared_path) == [{"step": 1, "epoch": 1, "x": value}]


def test_an_object_a_report_with_what_was_new(path: Path) -> None:
    writer = a_writer(path)

    reported(writer, 10, 1, loss=0.5)
    reported(writer, 20, 2, loss=0.25)
    reported(writer, 20, 2, loss=0.25, final=1.0)

    writer.close()
    assert read(path) == [
        {"step": 10, "epoch": 1, "loss": 0.5},
        {"step": 20, "epoch": 2, "loss": 0.25},
        {"step": 20, "epoch": 2, "final": 1.0},
    ]


def test_what_is_not_finite_is_null_and_pandas_reads_it(path: Path) -> None:
    reported(a_writer(path), 1, 1, a=nan, b=inf, c=1.0)
    assert read(path) == [{"step": 1, "epoch": 1, "a": None, "b": None, "c": 1.0}]
    assert pd.read_json(path, lines=True)["c"].tolist() == [1.0]


def test_odd_tags_are_quoted(path: Path) -> None:
    reported(a_writer(path), 1, 1, **{'a"\n"b': 2.0})
    assert read(path)[0]['a"\n"b'] == 2.0


def test_the_file_is_whole_with_every_checkpoint_and_nothing_else_is_left(path: Path) -> None:
    writer = a_writer(path)
    for step in range(1, 4):
        reported(writer, step, step, loss=1.0)
        writer.state_dict()
        assert [row["step"] for row in read(path)] == list(range(1, step + 1))
        assert list(path.parent.iterdir()) == [path]


def test_a_resumed_run_has_each_report_once(path: Path) -> None:
    first = a_writer(path)
    reported(first, 10, 1, loss=0.5)
    write_checkpoint(path.parent / "10", first.state_dict())
    whole = path.read_text()
    reported(first, 20, 2, loss=9.0)  # lost with the process

    second = a_writer(path)
    second.load_state_dict(read_checkpoint(path.parent / "10"))
    second.train_start()
    assert path.read_text() == whole

    reported(second, 10, 1, loss=0.5)
    reported(second, 20, 2, loss=0.25)
    second.train_end()
    assert [row["loss"] for row in read(path)] == [0.5, 0.25]
