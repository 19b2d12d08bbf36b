"""legoloop, its bricks put together in code."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import legoloop as ll
from bench.task import BATCH, LOG_EVERY, Task


class OfDicts(nn.Sequential):
    """A model as legoloop's are: from a batch to outputs."""

    def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"logits": super().forward(batch["x"])}


def loss(batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
    return cross_entropy(outputs["logits"], batch["target"])


def plain(task: Task) -> None:
    """The loop: a counter, epochs, the descent, and when to stop."""
    task.named("x", "target")
    ll.TrainingHost(list(loop(task, iter(task.train), task.steps, epochs=1))).run()


def with_defaults(task: Task) -> None:
    """And what a run writes unless told otherwise."""
    task.named("x", "target")
    plugins = loop(task, iter(task.train), task.steps, epochs=1)
    counter = plugins[0]
    sources = [ll.TrainLoss(), ll.LearningRateMonitor(task.optimizer)]
    writers = [
        ll.CsvMetrics(task.folder / "metrics.csv", counter, sources),
        ll.TensorBoard(counter, sources, task.folder / "logs"),
        ll.Progress(counter, sources, num_epochs=1, epoch_size=task.steps * BATCH),
    ]
    ll.TrainingHost([*plugins, *sources, *writers]).run()


def featured(task: Task) -> None:
    task.named("x", "target")
    plugins = loop(task, repeat(task.train.batch), task.every, task.epochs)
    counter, _, descent, _ = plugins
    evaluation = ll.LoadersAcc(
        {"val": task.validation},
        descent.model,
        ll.CompositeFactory(logits=ll.NumpyAccumulator, target=ll.NumpyAccumulator),
        descent.feed,
        when="epoch_end",
    )
    metrics = ll.AccumulatorMetrics(evaluation, mean_loss)
    sources = [ll.TrainLoss(), ll.LearningRateMonitor(task.optimizer), metrics]
    outputs = [
        ll.TensorBoard(counter, sources, task.folder / "logs", every_steps=LOG_EVERY),
        ll.Progress(counter, sources, num_epochs=task.epochs, epoch_size=task.every * BATCH),
        ll.BestModelWeights(task.model, task.folder / "best", metrics, "val/loss"),
    ]
    ll.TrainingHost([*plugins, evaluation, *sources, *outputs]).run()


def loop(task: Task, batches: Iterator[Any], steps: int, epochs: int) -> tuple[Any, ...]:
    """Counter, epoch, descent and stop."""
    model = OfDicts(*task.model)
    counter = ll.Counter()
    return (
        counter,
        ll.SimpleEpoch(batches, epoch_size=steps * BATCH),
        ll.GradientDescent(task.optimizer, model, ll.Feed(model, "cpu"), loss),
        ll.LastEpoch(counter, epochs),
    )


def mean_loss(found: dict[str, Any]) -> dict[str, float]:
    logits, target = torch.tensor(found["logits"]), torch.tensor(found["target"])
    return {"loss": cross_entropy(logits, target).item()}


PLAIN = {"legoloop": plain, "legoloop, what it writes by default": with_defaults}
FEATURED = {"legoloop": featured}
