"""Hugging Face's Trainer."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import ConstantLR
from transformers import Trainer, TrainingArguments
from transformers.utils import logging

from bench.task import LOG_EVERY, Stream, Task

logging.set_verbosity_error()


class WithLoss(nn.Module):
    """A model as the Trainer's are: its outputs have the loss."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.layers(x)
        return {"loss": cross_entropy(logits, labels), "logits": logits}


class OfStreams(Trainer):
    """Takes batches that are ready."""

    def __init__(self, task: Task, train: Stream, arguments: TrainingArguments) -> None:
        super().__init__(
            WithLoss(task.model),
            arguments,
            eval_dataset=task.validation,
            optimizers=(task.optimizer, ConstantLR(task.optimizer, factor=1.0)),
        )
        self.streams = train, task.validation

    def get_train_dataloader(self) -> Any:
        return self.streams[0]

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        return self.streams[1]


def settings(task: Task, **given: Any) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(task.folder),
        use_cpu=True,
        max_steps=task.steps,
        max_grad_norm=0.0,
        **given,
    )


def plain(task: Task) -> None:
    task.named("x", "labels")
    off: Any = {"logging_strategy": "no", "save_strategy": "no", "report_to": []}
    OfStreams(task, task.train, settings(task, disable_tqdm=True, **off)).train()


def featured(task: Task) -> None:
    task.named("x", "labels")
    arguments = settings(
        task,
        disable_tqdm=False,
        report_to=["tensorboard"],
        logging_steps=LOG_EVERY,
        eval_strategy="steps",
        eval_steps=task.every,
        save_strategy="best",
        metric_for_best_model="loss",
        save_total_limit=1,
        save_only_model=True,
    )
    OfStreams(task, task.epoch(), arguments).train()


PLAIN = {"HF Trainer": plain}
FEATURED = {"HF Trainer": featured}
