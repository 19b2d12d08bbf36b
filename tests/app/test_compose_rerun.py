"""``ll.compose(["rerun=RUN"])`` gives the run that the command gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import legoloop as ll
from legoloop.app.config.settings import COMMAND_LINE
from legoloop.core.errors import ConfigError
from tests.app.command import SMALL, Command

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    return Command(here, monkeypatch, capfd)


@pytest.fixture
def run(here: Path) -> Path:
    own = ("optimizer.lr=0.3", "model={_target_: legoloop.zoo.models.Logistic}", "seed=5")
    app = ll.compose([*SMALL, *own, "loggers=[]", "hydra.run.dir=then"])
    app.config.num_epochs.from_value(2)
    app.host().run()
    return here / "then"


def weights(run: Path) -> dict[str, Any]:
    return {name: value.tolist() for name, value in torch.load(run / "weights").items()}


def test_the_same_run_again_bit_for_bit(
    run: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    app = ll.compose(["rerun=then", "hydra.run.dir=now"])
    assert app.config.num_epochs() == 2, "also what was set late is of the record"
    capfd.readouterr()
    app.host().run()
    assert capfd.readouterr().out.splitlines() == [
        "run directory: now",
        "nothing differs from then",
    ]
    assert weights(here / "now") == weights(run)
    assert (here / "now/predicts.csv").read_bytes() == (run / "predicts.csv").read_bytes()


def test_overrides_lie_over_the_record(
    run: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    app = ll.compose(["rerun=then", "optimizer.lr=0.1", "scheduler=cosine", "hydra.run.dir=now"])
    assert app.optimizer().param_groups[0]["lr"] == 0.1
    assert app.scheduler().T_max == 2
    blueprint = app.blueprint()
    assert blueprint.origins["optimizer.lr"] == COMMAND_LINE
    assert blueprint.settings.seed == 5
    capfd.readouterr()
    app.host().run()
    assert "differs: optimizer.lr: 0.3 → 0.1" in capfd.readouterr().out


def test_a_group_of_ones_own(run: Path, here: Path) -> None:
    (here / "mine" / "optimizer").mkdir(parents=True)
    (here / "mine" / "optimizer" / "slow.yaml").write_text("_target_: torch.optim.SGD\nlr: 0.001\n")
    app = ll.compose(["rerun=then", "optimizer=slow", "hydra.run.dir=now"], config_dir="mine")
    assert type(app.optimizer()) is torch.optim.SGD


@pytest.mark.parametrize(
    "overrides",
    [
        ["rerun=nowhere"],
        ["rerun=[1,2]"],
        ["rerun=then", "optimizer.momentun=0.9"],
        ["rerun=then", "+optimizer.momentun=0.9"],
        ["rerun=then", "optimizer=addam"],
        ["rerun=then", "num_epochs=-1"],
        ["rerun=then", "hydra.run.dir=then"],
        ["rerun=then", "seed"],
    ],
)
def test_a_mistake_is_told_as_by_the_command(
    overrides: list[str], run: Path, command: Command
) -> None:
    before = command.files()
    with pytest.raises(ConfigError) as refused:
        ll.compose(overrides)
    ended = command(*overrides)
    assert (ended.status, ended.err) == (2, f"error: {refused.value}\n")
    assert command.files() == before


def test_a_damaged_record_is_told(run: Path, command: Command) -> None:
    (run / "config.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match=r"then/config.yaml: cannot be read as YAML"):
        ll.compose(["rerun=then"])
