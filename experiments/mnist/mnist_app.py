"""MNIST in plain code: data, a network, and the loop that trains it, wired as two containers."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import torch
from dependency_injector import containers, providers
from sklearn import metrics
from torch import nn, optim

import legoloop as ll


def idx_file(path, header):
    return torch.from_numpy(np.frombuffer(gzip.open(path).read(), np.uint8, offset=header).copy())


class MNISTData(ll.SizedDataset):
    def __init__(self, folder, train, aug):
        split = Path(folder) / "mnist" / ("train" if train else "t10k")
        self.images = idx_file(f"{split}-images-idx3-ubyte.gz", header=16).reshape(-1, 28, 28)
        self.targets = idx_file(f"{split}-labels-idx1-ubyte.gz", header=8).long()
        self.aug = aug

    def __len__(self):
        return len(self.images)

    def __getitem__(self, item):
        record = {"idx": item, "image": self.images[item], "target": self.targets[item]}
        return self.aug(record)


def real_aug(record):
    return {**record, "image": record["image"].float() / 255}


def train_aug(record):
    record = real_aug(record)
    return {**record, "image": record["image"].T} if torch.rand(()) < 0.5 else record


class SimpleCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(1, 16, 5, padding=2), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Conv2d(16, 32, 5, padding=2), nn.MaxPool2d(2), nn.ReLU()),
        )
        self.classifier = nn.Sequential(
            *(nn.Flatten(), nn.Dropout(0.5), nn.Linear(32 * 7 * 7, 128), nn.ReLU()),
            nn.Linear(128, 10),
        )

    def forward(self, batch):
        logits = self.classifier(self.features(batch["image"].unsqueeze(1)))
        return {"logits": logits, "probas": logits.softmax(dim=1)}


class Loss(nn.Module):
    def forward(self, batch, outputs):
        return nn.functional.cross_entropy(outputs["logits"], batch["target"])


def mnist_metrics(accumulated):
    predicted = accumulated["logits"].argmax(axis=1)
    return {"accuracy": metrics.accuracy_score(accumulated["target"], predicted)}


class MnistDefs(containers.DeclarativeContainer):
    """What is trained on what."""

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
    folder = providers.Object("data")
    data = providers.Container(
        ll.Data,
        datasets=providers.Dict(
            train=providers.Singleton(MNISTData, folder, train=True, aug=train_aug),
            val=providers.Singleton(MNISTData, folder, train=False, aug=train_aug),
            val_real=providers.Singleton(MNISTData, folder, train=False, aug=real_aug),
        ),
    )
    model = providers.Singleton(SimpleCNN)
    opt = providers.Singleton(
        lambda model, lr: optim.Adam(model.parameters(), lr=lr), model, config.lr
    )
    loss = providers.Singleton(Loss)
    metrics = providers.Object(mnist_metrics)


class MnistApp(containers.DeclarativeContainer):
    """How: what each epoch is, what is measured after it, what is written at the end."""

    defs = providers.Container(MnistDefs)
    file = providers.Singleton(Path, "learn").provided.joinpath
    device = providers.Object("cuda" if torch.cuda.is_available() else "cpu")

    counter = providers.Singleton(ll.Counter)
    feed = providers.Singleton(ll.Feed, defs.model, device)
    descent = providers.Singleton(ll.GradientDescent, defs.opt, defs.model, feed, defs.loss)
    epoch = providers.Singleton(
        ll.SimpleEpoch, defs.data.loop_iters.provided["train"], defs.config.epoch_size
    )
    last = providers.Singleton(ll.LastEpoch, counter, defs.config.num_epochs)

    accumulator = providers.Factory(
        ll.CompositeAccumulator,
        logits=providers.Factory(ll.NumpyAccumulator),
        target=providers.Factory(ll.NumpyAccumulator),
        idx=providers.Factory(ll.NumpyAccumulator),
    )
    loops_acc = providers.Singleton(
        ll.LoopsAcc,
        *(defs.data.loop_iters, defs.model, accumulator.provider, feed),
        samples_limit=defs.config.eval_samples,
    )
    loops_metrics = providers.Singleton(ll.AccumulatorMetrics, loops_acc, defs.metrics)
    loaders_acc = providers.Singleton(
        ll.LoadersAcc, defs.data.loaders, defs.model, accumulator.provider, feed
    )
    predicts = providers.Singleton(
        ll.CsvLogits, file.call("predicts.csv"), loaders_acc, acc_key="val_real"
    )
    progress = providers.Singleton(ll.Progress, counter, loops_metrics)
    board = providers.Singleton(ll.TensorBoard, counter, loops_metrics, file.call("logs"))
    weights = providers.Singleton(ll.SaveModelWeights, defs.model, file.call("weights"))

    host = providers.Singleton(
        ll.TrainingHost,
        providers.List(
            counter, epoch, descent, last,
            loops_acc, loops_metrics, loaders_acc,
            predicts, progress, board, weights,
        ),
    )  # fmt: skip


def trained(**config):
    """The app after its run, with other values for some of the keys."""
    ll.seed(0)
    app = MnistApp()
    app.defs.config.from_dict(config)
    app.host().run()
    return app


if __name__ == "__main__":
    trained()
