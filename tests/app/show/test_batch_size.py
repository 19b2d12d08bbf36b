"""``show=batch_size``: steps of batches that grow until the memory is not enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from legoloop.app.show.batch_size import batch_size_text, largest_that_fits
from legoloop.app.show.show import show
from legoloop.app.wiring.make_app import validated_app
from legoloop.core.errors import ConfigError
from tests.app.composed import blueprint_of

SMALL = ("show=batch_size", "data=xor", "model=logistic", "loss=binary_cross_entropy", "device=cpu")
ROOM = "feed._target_=tests.app.show.test_batch_size.Room"


class Room(ll.Feed):
    """As a GPU that has room for so many samples; it counts its steps."""

    room = 0
    steps: list[int] = []  # noqa: RUF012

    def outputs(self, batch: Any) -> Any:
        samples = len(batch["target"])
        if samples > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        self.steps.append(samples)
        return super().outputs(batch)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Room, "steps", [])
    return tmp_path


class OnAGpu:
    """An app whose device says that it is one."""

    def __init__(self, app: Any) -> None:
        self.data = app.data

    def device(self) -> torch.device:
        return torch.device("cuda:0")


def measured(room: int, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> str:
    monkeypatch.setattr(Room, "room", room)
    blueprint = blueprint_of(*SMALL, ROOM, *overrides)
    app, blueprint = validated_app(blueprint)
    return batch_size_text(OnAGpu(app), blueprint)


@given(first=st.integers(1, 300), most=st.integers(1, 300), room=st.integers(0, 400))
def test_the_largest_is_found_in_few_tries(first: int, most: int, room: int) -> None:
    first, tries = min(first, most), []

    def fits(size: int) -> bool:
        tries.append(size)
        return size <= room

    expected = min(room, most)
    found = largest_that_fits(fits, first, most)
    assert found == (expected, None if expected == most else expected + 1)
    assert len(tries) == len(set(tries)) <= 20
    assert all(1 <= size <= most for size in tries)


@pytest.mark.parametrize(
    "room", [37, *(pytest.param(room, marks=pytest.mark.long) for room in (1, 64))]
)
def test_what_fits_is_told_with_what_to_type(
    room: int, monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    text = measured(room, monkeypatch)
    assert text == (
        f"a step of {room} samples fits into the memory of cuda:0, {room + 1} do not\n"
        f"data.loaders.default.batch_size={room}; or, for larger batches, "
        f"plugins.descent.micro_batch_size={room}"
    )
    assert Room.steps.count(room) == 3
    assert [*here.iterdir()] == []


def test_that_of_the_train_data_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "a step of 37 " in measured(37, monkeypatch, "+data.loaders.train.batch_size=16")
    assert Room.steps[0] == 16


def test_all_of_the_data_may_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = measured(10**6, monkeypatch).splitlines()
    assert first.endswith("fits into the memory of cuda:0, all of the data set")


def test_another_error_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*given: Any) -> Any:
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(Room, "outputs", breaks)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        measured(5, monkeypatch)


def test_what_cannot_be_measured_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="not even a batch of one sample fits"):
        measured(0, monkeypatch)
    streaming = (
        "+plugins.epoch.train_iterator={_target_: tests.streams_of_others.endless}",
        *("data=own_stream", "model=adapted", "model.inputs=[x]", "loss=cross_entropy"),
        "model.module={_target_: torch.nn.Linear, in_features: 4, out_features: 3}",
    )
    with pytest.raises(ConfigError, match="makes batches of the data set 'train', and there is no"):
        measured(5, monkeypatch, *streaming)
    with pytest.raises(ConfigError) as refused:
        show(blueprint_of(*SMALL), lambda key: None)
    assert str(refused.value) == (
        "show: batch_size is for a GPU: a CPU runs out of the memory of the whole machine; give "
        "device=cuda, or leave it out"
    )
