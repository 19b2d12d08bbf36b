"""What ``debug=…`` does, each in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from legoloop.app.run.determinism_check import first_difference
from legoloop.state.run_record import read_record
from tests.app.command import Ended, environment, in_a_process

XOR = ("data=xor", "model=mlp", "loggers=[csv]", "hydra.run.dir=run", "device=cpu")
MINE = """
import os
import legoloop
import torch

class Noise:
    \"\"\"Draws from what no seed rules.\"\"\"
    def __init__(self, model):
        self.model = model

    def batch(self, step):
        with torch.no_grad():
            next(self.model.parameters()).add_(os.getpid() * 1e-6)

class FailsAgain:
    def __init__(self, run_dir):
        self.is_second = run_dir.endswith("again")

    def train_start(self):
        if self.is_second:
            raise legoloop.DataError("the second time")

class FailsAfterwards:
    def __init__(self, run_dir):
        self.is_second = run_dir.endswith("again")

    def train_end(self):
        return legoloop.ShouldSave(self.fail)

    def fail(self, state):
        if os.path.exists("fault") and not self.is_second:
            os.remove("fault")
            raise legoloop.DataError("once")

class NoGradient(torch.nn.Module):
    def forward(self, batch, outputs):
        zero = outputs["logits"].sum() * 0
        return zero * zero.abs().sqrt()
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def debugged(here: Path, *overrides: str) -> Ended:
    path = f"{environment()['PYTHONPATH']}:{here}"
    return in_a_process(here, *XOR, *overrides, PYTHONPATH=path)


@pytest.mark.slow
def test_fast_is_one_short_epoch(here: Path) -> None:
    ended = debugged(here, "debug=fast")
    assert (ended.status, ended.err) == (0, "")
    assert pd.read_csv(here / "run" / "metrics.csv")["epoch"].tolist() == [1]
    assert len(pd.read_csv(here / "run" / "predicts.csv")) == 128


@pytest.mark.slow
def test_limit_keeps_the_epochs_and_evaluates_a_part(here: Path) -> None:
    ended = debugged(here, "debug=limit", "num_epochs=3", "eval_samples=50")
    assert (ended.status, ended.err) == (0, "")
    table = pd.read_csv(here / "run" / "metrics.csv")
    assert sorted(set(table["epoch"])) == [1, 2, 3]
    assert len(pd.read_csv(here / "run" / "predicts.csv")) == 50


@pytest.mark.slow
def test_overfit_ends_when_the_loss_is_near_zero(here: Path) -> None:
    ended = debugged(here, "debug=overfit", "scheduler=none", "optimizer.lr=0.01")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines()[-1].startswith("completed: loss is 0.00")


@pytest.mark.slow
def test_overfit_fails_when_it_does_not_get_there(here: Path) -> None:
    ended = debugged(here, "debug=overfit", "num_epochs=1", "optimizer.lr=1e-9")
    assert ended.status == 1
    (line,) = ended.err.splitlines()
    assert line.startswith("error: loss is ")
    assert "not below 0.01" in line
    record = read_record(here / "run")
    assert (record["status"], f"error: {record['cause']}") == ("FAILED", line)


@pytest.mark.slow
def test_anomaly_tells_where_the_gradient_comes_from(here: Path) -> None:
    ended = debugged(here, "debug=anomaly", "num_epochs=1", "loss._target_=mine.NoGradient")
    assert ended.status == 1
    assert "return zero * zero.abs().sqrt()" in ended.err
    assert "SqrtBackward0' returned nan" in ended.err


@pytest.mark.slow
def test_anomaly_lets_a_sound_run_be(here: Path) -> None:
    assert debugged(here, "debug=anomaly", "num_epochs=1").status == 0


@pytest.mark.slow
def test_determinism_tells_the_first_difference(here: Path) -> None:
    noise = "+plugins.noise={_target_: mine.Noise}"
    ended = debugged(here, "debug=determinism", "num_epochs=1", noise)
    assert ended.status == 1
    (line,) = ended.err.splitlines()
    assert line.startswith("error: the same run twice gives other bits: metrics.csv: step 32, ")
    assert read_record(here / "run")["status"] == "FAILED"


@pytest.mark.long
def test_determinism_tells_why_the_second_run_failed(here: Path) -> None:
    fails = "+plugins.fails={_target_: mine.FailsAgain, run_dir: '${run_dir}'}"
    ended = debugged(here, "debug=determinism", "num_epochs=1", fails)
    assert ended.status == 1
    assert ended.err == "error: the second run did not complete: error: the second time\n"


@pytest.mark.long
def test_determinism_finds_the_same_bits_and_anew_when_resumed(here: Path) -> None:
    (here / "fault").touch()
    fails = "+plugins.then_fails={_target_: mine.FailsAfterwards, run_dir: '${run_dir}'}"
    ended = debugged(here, "debug=determinism", "num_epochs=1", fails)
    assert (ended.status, ended.err) == (1, "error: once\n")
    assert "the same bits twice; weights SHA-256 " in ended.out
    assert first_difference(here / "run", here / "run" / "again") is None
    ended = debugged(here, "debug=determinism", "num_epochs=1", fails)
    assert (ended.status, ended.err) == (0, "")
    assert "the same bits twice" in ended.out


@pytest.mark.slow
def test_the_trial_finds_a_broken_metric_before_the_first_step(here: Path) -> None:
    ended = debugged(
        here,
        "plugins=[default,sanity_check]",
        "metrics._target_=legoloop.evaluation.metrics.multiclass",
    )
    assert ended.status == 1
    assert not (here / "run" / "metrics.csv").exists()


@pytest.mark.parametrize(
    ("name", "other", "told"),
    [
        ("metrics.csv", "step,loss\n1,0.5\n", "metrics.csv: 2 rows and 1"),
        ("metrics.csv", "step,lr\n1,0.5\n2,0.25\n", "metrics.csv: step step, loss: loss and lr"),
        ("predicts.csv", "step,loss\n1,0.5\n3,0.25\n", "predicts.csv: step 2, step: 2 and 3"),
        ("weights", "other", "weights: SHA-256 "),
    ],
)
def test_the_first_difference(name: str, other: str, told: str, tmp_path: Path) -> None:
    for folder, text in (("one", "step,loss\n1,0.5\n2,0.25\n"), ("other", other)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text)
    assert str(first_difference(tmp_path / "one", tmp_path / "other")).startswith(told)


def test_a_file_that_is_there_once_is_a_difference(tmp_path: Path) -> None:
    (tmp_path / "weights").touch()
    told = first_difference(tmp_path, tmp_path / "nothing")
    assert told is not None
    assert told.endswith(" and no such file")
