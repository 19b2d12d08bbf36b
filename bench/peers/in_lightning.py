"""Lightning's Trainer."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch.nn.functional import cross_entropy

from bench.task import CLASSES, LOG_EVERY, Task

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")


class Module(LightningModule):
    def __init__(self, task: Task) -> None:
        super().__init__()
        self.model = task.model
        self.chosen = [task.optimizer]

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        x, y = batch
        return cross_entropy(self.model(x), y)

    def configure_optimizers(self) -> Any:
        return self.chosen[0]


class LoggingModule(Module):
    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        self.log("val/loss", cross_entropy(self.model(x), y), batch_size=len(x))


class MeasuringModule(LoggingModule):
    """With the training accuracy by torchmetrics."""

    def __init__(self, task: Task) -> None:
        from torchmetrics.classification import MulticlassAccuracy

        super().__init__(task)
        self.accuracy = MulticlassAccuracy(CLASSES)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        x, y = batch
        logits = self.model(x)
        loss = cross_entropy(logits, y)
        self.accuracy(logits, y)
        self.log("loss", loss)
        self.log("accuracy", self.accuracy)
        return loss


def plain(task: Task) -> None:
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(task), task.train)


def featured(task: Task, module: type[Module] = LoggingModule) -> None:
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=task.epochs,
        logger=TensorBoardLogger(task.folder),
        log_every_n_steps=LOG_EVERY,
        num_sanity_val_steps=0,
        callbacks=[
            ModelCheckpoint(task.folder, monitor="val/loss"),
            LearningRateMonitor("step"),
        ],
        enable_model_summary=False,
    )
    trainer.fit(module(task), task.epoch(), task.validation)


def with_torchmetrics(task: Task) -> None:
    featured(task, MeasuringModule)


PLAIN = {"Lightning": plain}
FEATURED = {"Lightning": featured, "Lightning + torchmetrics": with_torchmetrics}
