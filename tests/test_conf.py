"""Every option that ships composes, is complete, and trains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import yaml

import legoloop as ll
from legoloop.app.config_home import config_home
from tests.zoo.idx_writing import images_of, labels_of, write_pair

SMALL = ("num_epochs=1", "epoch_size=32", "eval_samples=32", "hydra.run.dir=run")
NEEDS_FILES = {"mnist": "mnist", "fashion_mnist": "fashion_mnist"}
ON_XOR = ("data=xor", "model=logistic")
SUITABLE: dict[str, Sequence[str]] = {
    "loss=cross_entropy": (),
    "loss=mean_squared_error": ("data=diabetes",),
    "metrics=multiclass": (),
    "metrics=regression": ("data=diabetes",),
    "accumulators=logits": (),
    "accumulators=prediction": ("data=diabetes",),
    "model=simple_cnn": (),
    "experiment=mnist": (),
}
"""What an option needs beside it where it is not made for the data of ``ON_XOR``."""


def options() -> list[str]:
    """Every ``group=option`` of ours; what configures Hydra itself is left out."""
    home = config_home()
    files = (path.relative_to(home) for path in sorted(home.glob("*/*.yaml")))
    return [f"{file.parent}={file.stem}" for file in files if file.parent.name != "hydra"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, but for a little MNIST under ``data``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEGOLOOP_DATA", raising=False)
    for name in NEEDS_FILES:
        for split in ("train", "t10k"):
            write_pair(tmp_path / "data" / name, images_of(40), labels_of(40), split)
    return tmp_path


def overrides(option: str) -> list[str]:
    group, _, name = option.partition("=")
    if group in ("plugins", "loggers"):
        kept = [name] if group == "loggers" else sorted({"default", name})
        option = f"{group}=[{','.join(kept)}]"
    others = () if group == "data" else SUITABLE.get(option, ON_XOR)
    quiet = () if group == "loggers" else ("loggers=[]",)
    return [*others, *quiet, option, *SMALL]


@pytest.mark.parametrize("option", options())
def test_trains(option: str, here: Path) -> None:
    app = ll.compose(overrides(option))
    before = {name: value.clone() for name, value in app.model().state_dict().items()}
    app.host().run()
    after = torch.load(here / "run" / "weights")
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert app.counter().epochs == 1
    assert (here / "run" / "predicts.csv").is_file()


def test_the_help_lists_every_key_at_the_top() -> None:
    text = (config_home() / "hydra" / "help" / "legoloop.yaml").read_text()
    tree = yaml.safe_load((config_home() / "config.yaml").read_text())
    values = {key for key, value in tree.items() if not isinstance(value, dict | list)}
    assert [key for key in values - {"run_dir"} if f"  {key}" not in text] == []


ALWAYS = {
    ".run.lock",
    "checkpoints",
    "config.yaml",
    "plan.txt",
    "predicts.csv",
    "run.json",
    "run.log",
    "weights",
}
LOGGED: dict[str, set[str]] = {
    "[]": set(),
    "[csv]": {"metrics.csv"},
    "[tensorboard]": {"logs"},
    "[progress]": set(),
    "[csv,tensorboard]": {"metrics.csv", "logs"},
    "[csv,tensorboard,progress]": {"metrics.csv", "logs"},
}


@pytest.mark.parametrize(("loggers", "files"), LOGGED.items())
def test_loggers_alone_and_together(
    loggers: str, files: set[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = ll.compose([*ON_XOR, f"loggers={loggers}", *SMALL])
    app.host().run()
    written = {path.name for path in (here / "run").iterdir()}
    assert written == ALWAYS | files
    assert ("epoch 1/1" in capsys.readouterr().out) == ("progress" in loggers)


def test_all_the_plugins_that_ship_together(here: Path) -> None:
    app = ll.compose([*ON_XOR, "plugins=[default,checkpoints,early_stopping]", *SMALL])
    app.host().run()
    kept = sorted(path.name for path in (here / "run" / "checkpoints").iterdir())
    assert kept == ["0", "1"]
    assert app.early_stopping().best is not None


@pytest.mark.parametrize("option", ["cosine", "exponential", "step"])
def test_a_schedule_moves_the_learning_rate(option: str, here: Path) -> None:
    app = ll.compose([*ON_XOR, f"scheduler={option}", "loggers=[]", *SMALL, "num_epochs=3"])
    app.host().run()
    rates = [scalars["lr"] for scalars in app.history().rows.values()]
    assert rates[0] == pytest.approx(0.001)
    assert rates[-1] < rates[0]


def test_any_other_optimizer_by_its_target(here: Path) -> None:
    rprop = ["optimizer._target_=torch.optim.Rprop", "~optimizer.betas", "~optimizer.weight_decay"]
    app = ll.compose([*ON_XOR, *rprop, "loggers=[]", *SMALL])
    app.host().run()
    assert isinstance(app.optimizer(), torch.optim.Rprop)
