"""The MNIST job in the words of the page that legoloop's public names come from.

A process of its own, that takes whichever package is called legoloop there, and prints seconds,
accuracy and the number of evaluated samples. What the page leaves open, the network and the
augmentation, is that of the others. The page does not hand its settings to ``Data``, where the
seed's package would take batches of 8: here it does, so that both take batches of 256.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from dependency_injector import containers, providers
from sklearn import metrics
from torch import nn, optim

import legoloop as ll
from bench import images
from bench.mnist_by_hand import network

FOLDER = Path(sys.argv[1])
LOADERS = {"default": {"batch_size": 256}}
evaluated = 0


def real_aug(record):
    return {**record, "image": (record["image"].float() / 255).unsqueeze(0)}


def train_aug(record):
    record = real_aug(record)
    return {**record, "image": record["image"].mT} if torch.rand(()) < 0.5 else record


def accuracy(found):
    global evaluated
    evaluated += len(found["target"])
    right = metrics.accuracy_score(found["target"], np.argmax(found["logits"], axis=1))
    return {"accuracy": right}


class Images(ll.SizedDataset):
    def __init__(self, train, aug):
        self.images, self.labels = images.read(train)
        self.aug = aug

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, item):
        return self.aug({"idx": item, "image": self.images[item], "target": self.labels[item]})


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = network()

    def forward(self, batch):
        return {"logits": self.layers(batch["image"])}


class Loss(nn.Module):
    def forward(self, batch, model_out):
        return nn.functional.cross_entropy(model_out["logits"], batch["target"])


class Defs(containers.DeclarativeContainer):
    config = providers.Configuration()
    # legoloop reads what is under loaders, the seed's package what is at the top.
    config.from_dict({"loaders": LOADERS, **LOADERS, "epoch_size": 60_000})
    data = providers.Container(
        ll.Data,
        config=config,
        datasets=providers.Dict(
            train=providers.Singleton(Images, train=True, aug=train_aug),
            val=providers.Singleton(Images, train=False, aug=train_aug),
            val_real=providers.Singleton(Images, train=False, aug=real_aug),
        ),
    )
    model = providers.Singleton(Net)
    opt = providers.Singleton(lambda model: optim.Adam(model.parameters(), lr=1e-3), model)
    loss = providers.Singleton(Loss)
    metrics = providers.Object(accuracy)


class App(containers.DeclarativeContainer):
    defs = providers.Container(Defs)
    counter = providers.Singleton(ll.Counter)
    feed = providers.Singleton(ll.Feed, model=defs.model, device="cpu")
    descent = providers.Singleton(
        ll.GradientDescent, opt=defs.opt, model=defs.model, feed=feed, loss=defs.loss
    )
    epoch = providers.Singleton(
        ll.SimpleEpoch,
        train_iterator=defs.data.loop_iters.provided["train"],
        epoch_size=defs.config.epoch_size,
    )
    last = providers.Singleton(ll.LastEpoch, counter, 1)
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
        samples_limit=10_000,
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
    loops_metrics = providers.Singleton(
        ll.AccumulatorMetrics, acc_plugin=loops_acc, method=defs.metrics
    )
    loaders_metrics = providers.Singleton(
        ll.AccumulatorMetrics, acc_plugin=loaders_acc, method=defs.metrics
    )
    predicts = providers.Singleton(
        ll.CsvLogits,
        path=FOLDER / "predicts.csv",
        acc_plugin=loaders_acc,
        names=[f"logit{number}" for number in range(10)],
        acc_key="val_real",
        index="idx",
    )
    board = providers.Singleton(
        ll.TensorBoard, counter=counter, acc_metrics=loops_metrics, logs_dir=FOLDER / "logs"
    )
    weights = providers.Singleton(ll.SaveModelWeights, defs.model, FOLDER / "weights")
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
            weights,
        ),
    )


def main() -> None:
    """Run it, and tell what the predictions on the disk are worth."""
    seed = int(sys.argv[2])
    random.seed(seed)  # the seed's package shuffles with it
    torch.manual_seed(seed)
    began = time.perf_counter()
    app = App()
    app.defs.config.epoch_size.from_value(len(images.read(train=True)[1]))
    app.host().run()
    took = time.perf_counter() - began
    table = pd.read_csv(FOLDER / "predicts.csv", index_col="idx").sort_index()
    right = table.to_numpy().argmax(1) == images.read(train=False)[1].numpy()
    print(took, right.mean(), evaluated)


if __name__ == "__main__":
    main()
