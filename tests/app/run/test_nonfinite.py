"""A whole app whose data hold a number that is not one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import legoloop as ll
from legoloop.core.errors import DataError
from legoloop.state.run_record import read_record
from tests.app.command import Command

SPOILT = (
    "data=xor",
    "data.datasets.train._target_=tests.app.nan_bricks.points",
    "~data.datasets.train.train",
    "+data.datasets.train.spoilt=70",
    "model=logistic",
    "model._target_=tests.app.nan_bricks.Normed",
    "loggers=[]",
    "num_epochs=1",
    "eval_samples=32",
)
TOLD = (
    r"step [123]: the loss is nan; samples idx 1070 \(of 32\); "
    r"not finite in the batch: 'features'; "
    r"the first module whose output is not finite: layers\.0 \(BatchNorm1d\)"
)


class Keeps:
    """What the model was before the step that is under way."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self.state: dict[str, Any] = {}

    def batch_start(self, step: ll.Step) -> None:
        self.state = {name: value.clone() for name, value in self.model.state_dict().items()}


def test_stops_with_the_weights_of_the_step_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = ll.compose([*SPOILT, "+plugins.keeps={_target_: tests.app.run.test_nonfinite.Keeps}"])

    with pytest.raises(DataError, match=f"^{TOLD}$") as error:
        app.host().run()

    assert str(error.value).startswith(f"step {app.counter().steps + 1}: ")
    kept, now = app.keeps().state, app.model().state_dict()
    assert kept.keys() == now.keys()
    assert all(torch.equal(kept[name], now[name]) for name in kept)


def test_the_run_is_recorded_as_failed_with_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    command = Command(tmp_path, monkeypatch, capfd)

    ended = command(*SPOILT)

    record = read_record(command.directory())
    assert (ended.status, record["status"]) == (1, "FAILED")
    assert re.fullmatch(TOLD, record["cause"])
    assert f"error: {record['cause']}" in ended.err
    assert not (command.directory() / "weights").exists()


def test_goes_on_without_the_step_when_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = ll.compose([*SPOILT, "plugins.descent.guard.action=skip"])

    app.host().run()

    assert (app.counter().steps, app.counter().samples) == (3, 64)
    assert all(torch.isfinite(value).all() for value in app.model().state_dict().values())
    assert 0.0 < app.train_loss().scalars()["loss"] < 2.0


def test_a_wrong_action_is_a_mistake_in_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    command = Command(tmp_path, monkeypatch, capfd)

    ended = command(*SPOILT, "plugins.descent.guard.action=halt")

    assert ended.status == 2
    assert "plugins.descent.guard.action" in ended.err
    assert command.files() == []
