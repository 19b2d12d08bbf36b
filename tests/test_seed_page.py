"""The container of the page that the public API comes from, written out as it stands there.

Its names, keywords and the plugin given twice are the page's; what the page leaves open (the
network and the augmentation) and the reader in place of torchvision's are ours.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from dependency_injector import containers, providers
from sklearn import metrics
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn, optim

import legoloop as ll
from legoloop.zoo.mnist import MNIST


def train_aug(record: dict[str, Any]) -> dict[str, Any]:
    image = record["image"].float() / 255
    return {**record, "image": image.T.contiguous() if torch.rand(()) < 0.5 else image}


def real_aug(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "image": record["image"].float() / 255}


class MNISTData(ll.SizedDataset):
    def __init__(self, folder, train, aug):
        self.data = MNIST(folder, download=False, train=train)
        self.aug = aug

    def __len__(self):
        return len(self.data)

    def __getitem__(self, item):
        res = {
            "idx": item,
            "image": self.data.data[item],
            "target": self.data.targets[item],
        }
        return self.aug(res)


class SimpleCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 5, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU()
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(16 * 5 * 5, 10))

    def forward(self, batch):
        feat = self.features(batch["image"].unsqueeze(1))
        logits = self.classifier(feat)
        return {"logits": logits, "probas": nn.Softmax(dim=1)(logits)}


class Loss(nn.Module):
    def forward(self, batch, model_out):
        return nn.CrossEntropyLoss()(model_out["logits"], batch["target"])


def mnist_metrics(acc):
    logits = acc["logits"]
    y_true = acc["target"]
    y_pred = np.argmax(logits, axis=1)
    return {"accuracy": metrics.accuracy_score(y_pred, y_true)}


class MnistDefs(containers.DeclarativeContainer):
    config = providers.Configuration()
    config.from_dict(
        {
            "loaders": {"default": {"batch_size": 256}},
            "lr": 0.001,
            "num_epochs": 8,
            "epoch_size": 60000,
            "eval_samples": 10000,
        }
    )
    data_folder = providers.Object("data")
    data = providers.Container(
        ll.Data,
        datasets=providers.Dict(
            train=providers.Singleton(MNISTData, data_folder, train=True, aug=train_aug),
            val=providers.Singleton(MNISTData, data_folder, train=False, aug=train_aug),
            val_real=providers.Singleton(MNISTData, data_folder, train=False, aug=real_aug),
        ),
    )
    model = providers.Singleton(SimpleCNN)
    opt = providers.Singleton(
        lambda model, lr: optim.Adam(model.parameters(), lr=lr), model, config.lr
    )
    loss = providers.Singleton(Loss)
    metrics = providers.Object(mnist_metrics)


class MnistApp(containers.DeclarativeContainer):
    root = providers.Singleton(Path, "learn")
    defs = providers.Container(MnistDefs)
    counter = providers.Singleton(ll.Counter)
    device = providers.Object("cuda" if torch.cuda.is_available() else "cpu")
    feed = providers.Singleton(ll.Feed, model=defs.model, device=device)
    descent = providers.Singleton(
        ll.GradientDescent, opt=defs.opt, model=defs.model, feed=feed, loss=defs.loss
    )
    epoch = providers.Singleton(
        ll.SimpleEpoch,
        train_iterator=defs.data.loop_iters.provided["train"],
        epoch_size=defs.config.epoch_size,
    )
    last = providers.Singleton(ll.LastEpoch, counter, defs.config.num_epochs)
    accum = providers.Factory(
        ll.CompositeAccumulator,
        logits=providers.Factory(ll.NumpyAccumulator),
        target=providers.Factory(ll.NumpyAccumulator),
        idx=providers.Factory(ll.NumpyAccumulator),
    )
    loops_acc = providers.Singleton(
        ll.LoopsAcc,
        loop_iters=defs.data.loop_iters,
        model=defs.model,
        factory=accum.provider,
        batch_desc=providers.Singleton(ll.DefaultBatchDesc),
        samples_limit=defs.config.eval_samples,
        feed=feed,
    )
    loaders_acc = providers.Singleton(
        ll.LoadersAcc,
        loaders=defs.data.loaders,
        model=defs.model,
        factory=accum.provider,
        batch_desc=providers.Singleton(ll.DefaultBatchDesc),
        feed=feed,
    )
    loaders_metrics = providers.Singleton(
        ll.AccumulatorMetrics, acc_plugin=loaders_acc, method=defs.metrics
    )
    loops_metrics = providers.Singleton(
        ll.AccumulatorMetrics, acc_plugin=loops_acc, method=defs.metrics
    )
    predicts = providers.Singleton(
        ll.CsvLogits,
        path=root.provided.joinpath.call("predicts.csv"),
        acc_plugin=loaders_acc,
        names=[f"logit{num}" for num in range(10)],
        acc_key="val_real",
        index="idx",
    )
    board = providers.Singleton(
        ll.TensorBoard,
        counter=counter,
        acc_metrics=loops_metrics,
        logs_dir=root.provided.joinpath.call("logs"),
    )
    model_weights = providers.Singleton(
        ll.SaveModelWeights, defs.model, root.provided.joinpath.call("weights")
    )

    host = providers.Singleton(
        ll.TrainingHost,
        plugins=providers.List(
            counter,
            epoch,
            descent,
            last,
            loops_acc,
            loops_metrics,
            loaders_acc,
            loaders_metrics,
            predicts,
            board,
            predicts,
            model_weights,
        ),
    )


def write_idx(path: Path, values: np.ndarray[Any, Any]) -> None:
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    path.write_bytes(header + values.tobytes())


def write_digits(folder: Path, split: str, samples: int) -> None:
    """Images in which the label is the row that is lit, in the format of MNIST's own files."""
    folder.mkdir(exist_ok=True)
    labels = (np.arange(samples) * 7 % 10).astype(np.uint8)
    images = np.zeros((samples, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 * label + 3, 4:-4] = 255
    write_idx(folder / f"{split}-images-idx3-ubyte", images)
    write_idx(folder / f"{split}-labels-idx1-ubyte", labels)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with 130 images to train on and 70 to test on under ``data``."""
    monkeypatch.delenv("LEGOLOOP_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    write_digits(tmp_path / "data", "train", 130)
    write_digits(tmp_path / "data", "t10k", 70)
    return tmp_path


SMALL = {
    "num_epochs": 2,
    "epoch_size": 130,
    "eval_samples": 50,
    "loaders": {"default": {"batch_size": 32}},
}


def ran(**changes: Any) -> MnistApp:
    ll.seed(0)
    app = MnistApp()
    app.defs.config.from_dict({**SMALL, **changes})
    with pytest.warns(UserWarning, match="plugin 'CsvLogits' is given twice; it runs once"):
        host = app.host()
    host.run()
    return app


def test_runs_and_writes_what_the_page_says(here: Path) -> None:
    app = ran()

    learn = here / "learn"
    assert {file.name for file in learn.iterdir()} == {"predicts.csv", "logs", "weights"}
    table = pd.read_csv(learn / "predicts.csv")
    assert list(table) == ["idx", *(f"logit{num}" for num in range(10))]
    assert table["idx"].tolist() == list(range(70))
    assert app.counter().epochs == 2
    assert app.counter().steps == 2 * 5


def test_the_logged_accuracy_is_that_of_the_written_predictions(here: Path) -> None:
    app = ran()

    table = pd.read_csv(here / "learn" / "predicts.csv")
    targets = MNIST("data", train=False).targets.numpy()[table["idx"]]
    accuracy = (table.iloc[:, 1:].to_numpy(np.float32).argmax(1) == targets).mean()
    assert app.loaders_metrics().scalars()["val_real/accuracy"] == accuracy


def test_tensorboard_has_every_loop_at_every_epochs_end(here: Path) -> None:
    ran()

    events = EventAccumulator(str(here / "learn" / "logs"), size_guidance={"scalars": 0})
    events.Reload()
    steps = {tag: [e.step for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    names = ["train/accuracy", "val/accuracy", "val_real/accuracy"]
    assert steps == {name: [5, 10] for name in names}


def test_the_weights_reproduce_the_predictions(here: Path) -> None:
    ran()

    model = SimpleCNN()
    model.load_state_dict(torch.load(here / "learn" / "weights"))
    images = MNIST("data", train=False).data[:32].float() / 255
    with torch.no_grad():
        logits = model({"image": images})["logits"].numpy()
    table = pd.read_csv(here / "learn" / "predicts.csv").iloc[:32, 1:].to_numpy(np.float32)
    np.testing.assert_array_equal(table, logits)


def test_settings_given_before_first_use_change_the_run(here: Path) -> None:
    app = ran(num_epochs=3, epoch_size=40, eval_samples=10, lr=0.5)

    assert (app.counter().epochs, app.counter().samples) == (3, 64 + 64 + 66)
    assert app.defs.opt().param_groups[0]["lr"] == 0.5
    assert app.loops_acc().evaluated == 3 * 3 * 10
    assert app.loaders_acc().evaluated == 130 + 70 + 70


def test_settings_of_one_app_do_not_reach_the_next(here: Path) -> None:
    ran(num_epochs=1)
    assert MnistApp().defs.config() == {
        "loaders": {"default": {"batch_size": 256}},
        "lr": 0.001,
        "num_epochs": 8,
        "epoch_size": 60000,
        "eval_samples": 10000,
    }


def test_two_runs_are_the_same_bit_for_bit(here: Path) -> None:
    first = ran().defs.model().state_dict()
    second = ran().defs.model().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
@pytest.mark.skipif("LEGOLOOP_DATA" not in os.environ, reason="needs MNIST under $LEGOLOOP_DATA")
def test_learns_the_real_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").symlink_to(Path(os.environ["LEGOLOOP_DATA"]).absolute())
    monkeypatch.chdir(tmp_path)

    app = ran(num_epochs=1, epoch_size=12000, eval_samples=1000)

    table = pd.read_csv(tmp_path / "learn" / "predicts.csv")
    assert table["idx"].tolist() == list(range(10_000))
    accuracy = app.loaders_metrics().scalars()["val_real/accuracy"]
    targets = MNIST("data", train=False, download=False).targets.numpy()
    assert accuracy == (table.iloc[:, 1:].to_numpy(np.float32).argmax(1) == targets).mean()
    assert accuracy > 0.7
