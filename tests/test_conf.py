"""Every option that ships composes, is complete, and trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import legoloop as ll
from legoloop.app.hydra_bridge.shipped_config import shipped_config_dir
from tests.zoo.idx_writing import images_of, labels_of, write_pair

SMALL = ("num_epochs=1", "epoch_size=32", "eval_samples=32", "hydra.run.dir=run")
NEEDS_FILES = {"mnist": "mnist", "fashion_mnist": "fashion_mnist"}
ON_XOR = ("data=xor", "model=logistic")
FAST = (
    *("accumulators=logits", "data=mnist", "debug=fast", "experiment=mnist", "loggers=json_lines"),
    *("model=mlp", "optimizer=adagrad", "param_groups=none", "plugins=confusion"),
    *("plugins=train_metrics", "precision=amp_bf16"),
)
"""The options that train in the fast suite too; others do in other tests."""
LONG = ("debug=determinism", "loggers=mlflow", "loggers=wandb")
"""Those that take longest, and have test files of their own."""
NEEDS_PACKAGES = {
    "loggers=mlflow": "mlflow",
    "loggers=trackio": "trackio",
    "loggers=wandb": "wandb",
    "plugins=system": "psutil",
}
STREAMED = (
    *("plugins.predicts._target_=legoloop.Predictions", "+plugins.predicts.streamed=true"),
    "plugins.predicts.targets=null",
)
SUITABLE: dict[str, Sequence[str]] = {
    "data=own_stream": (
        *("model=adapted", "model.inputs=[x]"),
        "model.module={_target_: torch.nn.Linear, in_features: 4, out_features: 3}",
        "+plugins.epoch.train_iterator={_target_: tests.streams_of_others.endless}",
    ),
    "loss=cross_entropy": (),
    "loss=mean_squared_error": ("data=diabetes",),
    "metrics=multiclass": (),
    "metrics=regression": ("data=diabetes",),
    "metrics=evaluated": (*ON_XOR, "accumulators=loss", *STREAMED),
    "accumulators=logits": (),
    "accumulators=loss": (*ON_XOR, "metrics=evaluated", *STREAMED),
    "accumulators=prediction": ("data=diabetes",),
    "model=adapted": (
        "model.module={_target_: torch.nn.Sequential, _args_: [{_target_: torch.nn.Flatten}, "
        "{_target_: torch.nn.Linear, in_features: 64, out_features: 10}]}",
        "model.inputs=[image]",
    ),
    "model=simple_cnn": (),
    "experiment=mnist": (),
    "debug=overfit": (*ON_XOR, "plugins.overfitting.threshold=9"),
    "loggers=wandb": (*ON_XOR, "loggers.wandb.mode=offline"),
    "plugins=worst_errors": (),
    "plugins=freeze": ("data=xor", "model=mlp", "plugins.freeze.patterns=[layers.0.*]"),
    "plugins=last_sample": (*ON_XOR, "plugins.last_sample.num_samples=64"),
    "plugins=last_step": (*ON_XOR, "plugins.last_step.num_steps=9"),
    "plugins=phases": (*ON_XOR, "plugins.phases.phases={all: {from_epoch: 0}}"),
    "plugins=pruning": (
        *ON_XOR,
        "plugins.pruning.storage=study.journal",
        "plugins.pruning.study=mine",
    ),
    "plugins=time_limit": (*ON_XOR, "plugins.time_limit.seconds=99"),
}
"""What an option needs beside it where it is not made for the data of ``ON_XOR``."""


def options() -> list[str]:
    """Every ``group=option`` of ours; what configures Hydra itself is left out."""
    home = shipped_config_dir()
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
    others = SUITABLE.get(option, () if group == "data" else ON_XOR)
    if group in ("plugins", "loggers"):
        kept = [name] if group == "loggers" else sorted({"default", name})
        option = f"{group}=[{','.join(kept)}]"
    quiet = () if group == "loggers" else ("loggers=[]",)
    return [*others, *quiet, option, *SMALL]


def each_option() -> Iterator[Any]:
    """Every option; most of them in the slow suite."""
    for option in options():
        slow = pytest.mark.long if option in LONG else pytest.mark.slow
        yield pytest.param(option, marks=() if option in FAST else slow)


@pytest.mark.parametrize("option", list(each_option()))
def test_trains(option: str, here: Path) -> None:
    if option in NEEDS_PACKAGES:
        pytest.importorskip(NEEDS_PACKAGES[option])
    app = ll.compose(overrides(option))
    before = {name: value.clone() for name, value in app.model().state_dict().items()}
    app.host().run()
    after = torch.load(here / "run" / "weights")
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert app.counter().epochs == 1
    assert (here / "run" / "predicts.csv").is_file() == (option != "data=own_stream")


def test_the_help_lists_every_key_at_the_top() -> None:
    text = (shipped_config_dir() / "hydra" / "help" / "legoloop.yaml").read_text()
    tree = yaml.safe_load((shipped_config_dir() / "config.yaml").read_text())
    values = {key for key, value in tree.items() if not isinstance(value, dict | list)}
    assert [key for key in values - {"run_dir"} if f"  {key}" not in text] == []


ALWAYS = {
    ".hydra",
    ".run.lock",
    "checkpoints",
    "config.yaml",
    "plan.txt",
    "predicts.csv",
    "run.json",
    "run.log",
    "targets.csv",
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
    assert ("\nepoch " in capsys.readouterr().out) == ("progress" in loggers)


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


@pytest.mark.parametrize(
    "limits",
    [
        (),
        ("plugins=[default,last_step]", "plugins.last_step.num_steps=7"),
        ("plugins=[default,last_sample]", "plugins.last_sample.num_samples=300"),
    ],
)
@pytest.mark.parametrize("option", ["warmup_cosine", "one_cycle"])
def test_a_schedule_in_steps_knows_how_many_there_are(
    option: str, limits: Sequence[str], here: Path
) -> None:
    epochs = ("num_epochs=3", "epoch_size=150", "data.loaders.default.batch_size=48")
    app = ll.compose([*ON_XOR, f"scheduler={option}", "loggers=[]", *limits, *SMALL, *epochs])
    app.host().run()
    schedule = app.scheduler()
    assert schedule.total_steps == app.counter().steps > 1
    assert schedule.last_epoch == schedule.total_steps - 1


def test_a_plateau_lowers_the_learning_rate(here: Path) -> None:
    stuck = ("optimizer.lr=1e-30", "scheduler.patience=0", "+scheduler.eps=0.0")
    app = ll.compose([*ON_XOR, "scheduler=plateau", "loggers=[]", *SMALL, "num_epochs=3", *stuck])
    app.host().run()
    rates = [scalars["lr"] for scalars in app.history().rows.values()]
    assert rates == pytest.approx([1e-30, 1e-30, 1e-31])


def test_any_other_schedule_by_its_target(here: Path) -> None:
    cyclic = [
        "scheduler._target_=torch.optim.lr_scheduler.CyclicLR",
        *("~scheduler.T_max", "~scheduler.eta_min", "plugins.lr_scheduler.interval=step"),
        *("+scheduler.base_lr=0.001", "+scheduler.max_lr=0.1", "+scheduler.step_size_up=2"),
    ]
    app = ll.compose([*ON_XOR, "scheduler=cosine", *cyclic, "loggers=[]", *SMALL, "epoch_size=96"])
    app.host().run()
    assert app.learning_rate().scalars()["lr"] == pytest.approx(0.1)


def test_ends_with_the_best_weights_if_asked(here: Path) -> None:
    best = ("plugins=[default,best_weights]", "plugins.best_weights.restore=true")
    by = ("plugins.best_weights.metric=lr", "plugins.best_weights.mode=max")  # the first epoch's
    app = ll.compose(
        [*ON_XOR, "scheduler=cosine", "loggers=[]", *best, *by, *SMALL, "num_epochs=3"]
    )
    app.host().run()
    kept, final = (torch.load(here / "run" / name) for name in ("weights_best", "weights"))
    first = ll.compose(
        [
            *ON_XOR,
            "scheduler=cosine",
            "loggers=[]",
            *SMALL,
            "scheduler.T_max=3",
            "hydra.run.dir=first",
        ]
    )
    first.host().run()
    expected = torch.load(here / "first" / "weights")
    for name, value in expected.items():
        assert torch.equal(kept[name], value)
        assert torch.equal(final[name], value)


def test_any_other_optimizer_by_its_target(here: Path) -> None:
    of_adam = ["~optimizer.betas", "~optimizer.weight_decay", "~optimizer.fused"]
    rprop = ["optimizer._target_=torch.optim.Rprop", *of_adam]
    app = ll.compose([*ON_XOR, *rprop, "loggers=[]", *SMALL])
    app.host().run()
    assert isinstance(app.optimizer(), torch.optim.Rprop)


def test_everything_of_the_optimisation_together(here: Path) -> None:
    optimisation = [
        "plugins=[default,clipping,ema,freeze]",
        "plugins.descent.micro_batch_size=5",
        "plugins.freeze.patterns=[layers.0.*]",
        "plugins.freeze.unfreeze_after_epochs=1",
        "optimizer=adamw",
        "param_groups=no_decay",
        "+optimizer.params.first={patterns: [layers.0.*], lr: 1e-5}",
    ]
    app = ll.compose(["data=xor", "model=mlp", *optimisation, "loggers=[]", *SMALL])
    app.host().run()
    groups = app.optimizer().param_groups
    assert sorted((group["lr"], group["weight_decay"]) for group in groups) == [
        *[(1e-5, 0.0), (1e-5, 0.01)],
        *[(0.001, 0.0), (0.001, 0.01)],
    ]
    assert app.history().frame()["gradient_norm"].notna().all()
    saved = torch.load(here / "run" / "weights")
    average = app.ema().model.state_dict()
    assert all(torch.equal(saved[name], average[name]) for name in average)
