"""The whole loop as one container: scikit-learn's digits and a small network, wired by hand."""

from __future__ import annotations

from pathlib import Path

import torch
from dependency_injector import containers, providers
from sklearn.datasets import load_digits
from torch import nn, optim

import legoloop as ll


class Digits(ll.SizedDataset):
    """Every fifth digit is for validation, the others are for training."""

    def __init__(self, train):
        images, targets = load_digits(return_X_y=True)
        self.images = torch.from_numpy(images / 16).float()
        self.targets = torch.from_numpy(targets)
        self.rows = [row for row in range(len(targets)) if (row % 5 != 0) == train]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, item):
        row = self.rows[item]
        return {"idx": row, "image": self.images[row], "target": self.targets[row]}


class Net(nn.Module):
    """Images (batch, 64) to logits (batch, 10)."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))

    def forward(self, batch):
        return {"logits": self.layers(batch["image"])}


def cross_entropy(batch, outputs):
    return nn.functional.cross_entropy(outputs["logits"], batch["target"])


def accuracy(accumulated):
    predicted = accumulated["logits"].argmax(axis=1)
    return {"accuracy": (predicted == accumulated["target"]).mean()}


class DigitsApp(containers.DeclarativeContainer):
    """The command asks for ``config`` and ``host``; all other names are ours to choose."""

    config = providers.Configuration()
    config.from_dict(
        {
            "seed": 0,
            "num_epochs": 10,
            "optimizer": {"lr": 0.002},
            "data": {"loaders": {"default": {"batch_size": 32}}},
            "run_dir": "learn",
        }
    )

    data = providers.Container(
        ll.Data,
        config=config.data,
        datasets=providers.Dict(
            train=providers.Singleton(Digits, train=True),
            val=providers.Singleton(Digits, train=False),
        ),
    )
    model = providers.Singleton(Net)
    opt = providers.Singleton(
        lambda model, lr: optim.Adam(model.parameters(), lr=lr), model, config.optimizer.lr
    )

    # What trains.
    counter = providers.Singleton(ll.Counter)
    feed = providers.Singleton(ll.Feed, model, device="cpu")
    epoch = providers.Singleton(ll.SimpleEpoch, data.loop_iters.provided["train"])
    descent = providers.Singleton(ll.GradientDescent, opt, model, feed, loss=cross_entropy)
    last = providers.Singleton(ll.LastEpoch, counter, config.num_epochs)

    # What measures, after every epoch.
    factory = providers.Object(
        ll.CompositeFactory(
            logits=ll.NumpyAccumulator, target=ll.NumpyAccumulator, idx=ll.NumpyAccumulator
        )
    )
    evaluation = providers.Singleton(
        ll.LoadersAcc, data.loaders, model, factory, feed, when="epoch_end"
    )
    metrics = providers.Singleton(ll.AccumulatorMetrics, evaluation, method=accuracy)

    # What writes.
    file = providers.Singleton(Path, config.run_dir).provided.joinpath
    progress = providers.Singleton(ll.Progress, counter, metrics, config.num_epochs)
    history = providers.Singleton(ll.History, counter, metrics)
    table = providers.Singleton(ll.CsvMetrics, file.call("metrics.csv"), counter, metrics)
    predicts = providers.Singleton(ll.CsvLogits, file.call("predicts.csv"), evaluation, "val")
    weights = providers.Singleton(ll.SaveModelWeights, model, file.call("weights"))

    host = providers.Singleton(
        ll.TrainingHost,
        plugins=providers.List(
            counter, epoch, descent, last,
            evaluation, metrics,
            progress, history, table, predicts, weights,
        ),
    )  # fmt: skip


if __name__ == "__main__":
    app = DigitsApp()
    ll.seed(app.config.seed())
    app.host().run()
