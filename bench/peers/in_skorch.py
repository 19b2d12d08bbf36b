"""skorch."""

from __future__ import annotations

from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, Checkpoint, ProgressBar
from skorch.helper import predefined_split
from torch import nn
from torch.utils.data import TensorDataset

from bench.task import LOG_EVERY, LR, Stream, Task


def net(task: Task, train: Stream, epochs: int, **settings: Any) -> NeuralNet:
    return NeuralNet(
        task.model,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        optimizer__lr=LR,
        optimizer__fused=task.fused,
        max_epochs=epochs,
        iterator_train=lambda dataset, **_: train,
        **settings,
    )


def data(stream: Stream) -> TensorDataset:
    """What skorch wants to see; the batches come ready from the iterators."""
    return TensorDataset(*stream.batch)


class Board(Callback):
    """Loss and lr every so many steps; skorch's own writes once an epoch."""

    def __init__(self, writer: Any) -> None:
        self.writer = writer
        self.step = 0

    def on_batch_end(self, net: NeuralNet, training: bool = False, **given: Any) -> None:
        if training:
            self.step += 1
            if self.step % LOG_EVERY == 0:
                self.writer.add_scalar(
                    "loss", net.history[-1, "batches", -1, "train_loss"], self.step
                )
                self.writer.add_scalar("lr", net.optimizer_.param_groups[0]["lr"], self.step)

    def on_epoch_end(self, net: NeuralNet, **given: Any) -> None:
        self.writer.add_scalar("val/loss", net.history[-1, "valid_loss"], self.step)


def plain(task: Task) -> None:
    net(task, task.train, 1, train_split=None, verbose=0, callbacks__print_log=None).fit(
        data(task.train)
    )


def featured(task: Task) -> None:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(task.folder))
    net(
        task,
        task.epoch(),
        task.epochs,
        train_split=predefined_split(data(task.validation)),
        iterator_valid=lambda dataset, **_: task.validation,
        callbacks=[
            ProgressBar(batches_per_epoch=task.every),
            Board(writer),
            Checkpoint(monitor="valid_loss_best", dirname=str(task.folder)),
        ],
    ).fit(data(task.train))
    writer.close()


PLAIN = {"skorch": plain}
FEATURED = {"skorch": featured}
