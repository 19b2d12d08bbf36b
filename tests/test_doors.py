"""The same run through every door, bit for bit; and what is set late takes effect everywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from dependency_injector import containers, providers
from torch import nn

import legoloop as ll
from legoloop.evaluation.metrics import multiclass
from legoloop.zoo.losses import CrossEntropy
from legoloop.zoo.models import SimpleCNN
from legoloop.zoo.toy_data import digits
from tests.app.command import in_a_process

SMALL = ("num_epochs=2", "epoch_size=150", "eval_samples=50", "seed=3", "device=cpu")
SETTINGS = ("optimizer.lr=0.002", "scheduler=none", "data.loaders.default.batch_size=32")
MODEL = ("model.channels=[4,8]", "model.hidden=16", "model.dropout=0.3")
RUN = (*SMALL, *SETTINGS, *MODEL)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def digest(weights: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names and raw bytes of all tensors."""
    content = hashlib.sha256()
    for name, value in weights.items():
        content.update(name.encode() + value.contiguous().numpy().tobytes())
    return content.hexdigest()


def composed(*overrides: str) -> str:
    """The final weights of a run composed as in a notebook, with nothing that writes."""
    app = ll.compose([*RUN, "loggers=[]", "hydra.run.dir=run", *overrides])
    app.host().run()
    return digest(app.model().state_dict())


class DigitsApp(containers.DeclarativeContainer):
    """The same run as a container in code, with none of the plugins that only look."""

    config = providers.Configuration()
    data = providers.Container(
        ll.Data,
        config=config.data,
        datasets=providers.Dict(
            train=providers.Singleton(digits, train=True),
            val=providers.Singleton(digits, train=False),
        ),
    )
    model = providers.Singleton(
        SimpleCNN,
        image_shape=(1, 8, 8),
        num_outputs=10,
        task="multiclass",
        input_key="image",
        channels=(4, 8),
        hidden=16,
        dropout=0.3,
    )
    opt = providers.Singleton(
        lambda model, lr: torch.optim.Adam(model.parameters(), lr=lr, fused=True), model, config.lr
    )
    counter = providers.Singleton(ll.Counter)
    feed = providers.Singleton(ll.Feed, model=model, device="cpu", channels_last="auto")
    descent = providers.Singleton(
        ll.GradientDescent, opt=opt, model=model, feed=feed, loss=providers.Singleton(CrossEntropy)
    )
    epoch = providers.Singleton(
        ll.SimpleEpoch,
        train_iterator=data.loop_iters.provided["train"],
        epoch_size=config.epoch_size,
    )
    last = providers.Singleton(ll.LastEpoch, counter, config.num_epochs)
    host = providers.Singleton(
        ll.TrainingHost, plugins=providers.List(counter, epoch, descent, last)
    )


def in_code() -> str:
    ll.seed(3)
    app = DigitsApp()
    app.config.from_dict(
        {
            "data": {"seed": 3, "loaders": {"default": {"batch_size": 32}}},
            "lr": 0.002,
            "num_epochs": 2,
            "epoch_size": 150,
        }
    )
    app.host().run()
    return digest(app.model().state_dict())


@pytest.mark.slow
def test_command_notebook_and_container_train_the_same_weights(here: Path) -> None:
    ended = in_a_process(here, *RUN, "hydra.run.dir=commanded", fresh=True)
    assert (ended.status, ended.err) == (0, "")
    commanded = digest(torch.load(here / "commanded" / "weights"))
    assert composed() == commanded
    assert in_code() == commanded


def test_another_seed_trains_other_weights() -> None:
    assert composed("seed=4", "hydra.run.dir=other") != composed()


LOOKING: Mapping[str, Sequence[str]] = {
    "csv": ["loggers=[csv]"],
    "tensorboard": ["loggers=[tensorboard]"],
    "progress": ["loggers=[progress]"],
    "all loggers": ["loggers=[csv,tensorboard,progress]"],
    "no history": ["~plugins.history"],
    "no evaluation after epochs": [
        "~plugins.loops_acc",
        "~plugins.loops_metrics",
        "~eval_samples",
    ],
    "no evaluation at the end": [
        "~plugins.loaders_acc",
        "~plugins.loaders_metrics",
        "~plugins.predicts",
    ],
    "no training loss": ["~plugins.train_loss", "~plugins.learning_rate"],
    "no weights written": ["~plugins.model_weights"],
    "one accumulator more": [
        "+accumulators.probas={_target_: legoloop.NumpyAccumulator, _partial_: true}",
    ],
    "one history more": [
        "+plugins.second={_target_: legoloop.History, _inject_: {sources: loops_metrics}}",
    ],
    "no checkpoints": ["plugins=[default]"],
    "checkpoints in mid-epoch": ["plugins.checkpoints.every_steps=2"],
    "early stopping that waits": ["plugins=[default,early_stopping]"],
    "one worker": ["data.loaders.default.num_workers=1"],
    "two workers": ["data.loaders.default.num_workers=2"],
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The weights with nothing but the defaults."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("plain"))
        return composed()


@pytest.mark.parametrize("overrides", LOOKING.values(), ids=LOOKING)
def test_what_only_looks_leaves_the_weights_as_they_are(
    overrides: Sequence[str], plain: str
) -> None:
    assert composed(*overrides) == plain


def test_a_number_set_late_reaches_everything_that_refers_to_it() -> None:
    app = ll.compose(["loggers=[progress]", "scheduler=cosine", "hydra.run.dir=run"])
    app.config.num_epochs.from_value(3)
    assert app.last().num_epochs == 3
    assert app.progress().num_epochs == 3
    assert app.scheduler().T_max == 3


def test_a_value_set_late_has_the_effect_of_an_override() -> None:
    late = ll.compose([*RUN, "loggers=[]", "hydra.run.dir=late"])
    late.config.optimizer.lr.from_value(0.01)
    late.host().run()
    assert digest(late.model().state_dict()) == composed("optimizer.lr=0.01")


def test_a_key_that_was_not_there_may_be_set_late() -> None:
    app = ll.compose(["loggers=[]"])
    app.config.optimizer.amsgrad.from_value(True)
    assert app.optimizer().defaults["amsgrad"] is True


class Twin(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {"logits": self.layer(batch["image"].flatten(1))}


def test_a_model_put_in_late_is_the_one_that_everything_uses() -> None:
    app = ll.compose([*SMALL, "loggers=[]", "hydra.run.dir=run"])
    app.model.override(providers.Singleton(Twin))
    twin = app.model()
    assert isinstance(twin, Twin)
    assert app.optimizer().param_groups[0]["params"] == list(twin.parameters())
    assert app.feed().model is twin
    assert app.loaders_acc().model is twin
    app.host().run()
    assert torch.load("run/weights").keys() == twin.state_dict().keys()


def test_metrics_are_a_function_that_can_be_put_in_late() -> None:
    def constant(accumulated: Any) -> dict[str, float]:
        return {**multiclass(accumulated), "one": 1.0}

    app = ll.compose([*SMALL, "loggers=[]", "hydra.run.dir=run"])
    app.metrics.override(providers.Object(constant))
    app.host().run()
    assert app.loaders_metrics().scalars()["final/val/one"] == 1.0


@pytest.mark.slow
def test_apps_composed_side_by_side_keep_seed_and_folder_apart(here: Path) -> None:
    alone = composed("seed=5")
    first = ll.compose([*RUN, "loggers=[]", "seed=5", "hydra.run.dir=first"])
    second = ll.compose([*RUN, "loggers=[]", "seed=6", "hydra.run.dir=second"])
    for app in (first, second):
        app.config.eval_samples.from_value(40)
    assert first.predicts().path == here / "first" / "predicts.csv"
    second.host().run()
    first.host().run()
    assert digest(first.model().state_dict()) == alone
    assert digest(second.model().state_dict()) != alone


def test_a_seed_set_late_is_the_seed(here: Path) -> None:
    app = ll.compose([*RUN, "loggers=[]", "hydra.run.dir=late"])
    app.config.seed.from_value(5)
    app.host().run()
    assert digest(app.model().state_dict()) == composed("seed=5")


def test_late_values_reach_the_data_through_references() -> None:
    app = ll.compose([*RUN, "+bs=16", "data.loaders.default.batch_size=${bs}"])
    app.config.bs.from_value(8)
    assert len(next(app.data.loop_iters()["train"])["target"]) == 8


@pytest.mark.parametrize(
    ("set_late", "message"),
    [
        (
            lambda app: app.config.from_dict({"num_epoch": 3}),
            "num_epoch: nothing takes this key; did you mean num_epochs?",
        ),
        (
            lambda app: app.config.num_epochs.from_value(-1),
            "num_epochs: is -1; give a whole number of at least 0",
        ),
        (
            lambda app: app.config.from_dict(
                {"plugins": {"more": {"_target_": "legoloop.Counter"}}}
            ),
            "plugins: components cannot be added or removed after composing",
        ),
    ],
    ids=["a key", "a value", "a plugin"],
)
def test_late_values_are_checked(set_late: Callable[[Any], None], message: str) -> None:
    app = ll.compose([*RUN, "loggers=[]"])
    set_late(app)
    with pytest.raises(ll.ConfigError) as error:
        app.host()
    assert str(error.value) == message


def test_a_folder_that_holds_a_run_is_refused(here: Path) -> None:
    (here / "done").mkdir()
    (here / "done" / "run.json").write_text('{"status": "COMPLETED", "started": "today"}')
    with pytest.raises(ll.ConfigError, match=r"done holds a run already \(COMPLETED, "):
        ll.compose([*RUN, "hydra.run.dir=done"])


def test_a_folder_of_ones_own_may_have_any_name(here: Path) -> None:
    folder = here / "a, b (c)'s"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "mine.yaml").write_text("_target_: legoloop.zoo.models.Logistic\n")
    app = ll.compose(["model=mine", "loggers=[]"], config_dir=folder)
    assert type(app.model()).__name__ == "Logistic"
    with pytest.raises(ll.ConfigError, match="config_dir: there is no folder nowhere"):
        ll.compose([], config_dir="nowhere")
