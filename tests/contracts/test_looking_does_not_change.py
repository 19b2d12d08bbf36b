"""Adding or removing whatever looks leaves the final weights bit-identical."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import legoloop as ll
from tests.tiny import Noisy, Tiny, accuracy, collected, tiny


def draw() -> float:
    return random.random() + np.random.rand() + torch.rand(()).item()


class DrawingAccumulator(ll.Accumulator):
    def __init__(self) -> None:
        self.inner = collected()
        draw()

    def add(self, values: Any) -> None:
        draw()
        self.inner.add(values)

    def result(self) -> dict[str, Any]:
        draw()
        return self.inner.result()


class DrawingWriter(ll.ScalarWriter):
    def write(self, step: int, scalars: dict[str, float]) -> None:
        draw()


class Reseeding:
    def epoch_end(self) -> None:
        random.seed(1), np.random.seed(1), torch.manual_seed(1)


class FreshNetwork:
    """Evaluates a network of its own."""

    def epoch_end(self) -> None:
        torch.nn.Linear(100, 100)(torch.randn(3, 100)).sum().backward()


class EvaluatesOften:
    """Asks for an evaluation between two batches."""

    def __init__(self, acc: ll.LoadersAcc) -> None:
        self.acc = acc

    def batch_end(self, step: ll.Step) -> None:
        self.acc.collect("val")


def drawing_metrics(accumulated: dict[str, Any]) -> dict[str, float]:
    draw()
    return accuracy(accumulated)


def evaluations(parts: Tiny, **given: Any) -> list[Any]:
    accs = [
        parts.loops_acc(**given),
        parts.loops_acc(samples_limit=3, when="train_end", **given),
        parts.loaders_acc(when="epoch_end", **given),
    ]
    measured = [
        ll.AccumulatorMetrics(acc, drawing_metrics, prefix=f"{number}/")
        for number, acc in enumerate(accs)
    ]
    return [*accs, *measured]


def within_epochs(parts: Tiny) -> list[Any]:
    """Evaluations that are due between two batches, with all that looks at them."""
    acc = parts.loops_acc(counter=parts.counter, every_steps=2, every_epochs=None)
    metrics = ll.AccumulatorMetrics(acc, drawing_metrics)
    stopping = ll.EarlyStopping(metrics, "val/accuracy", patience=99)
    return [acc, metrics, stopping, DrawingWriter(parts.counter, metrics)]


def writers(parts: Tiny, folder: Path) -> list[Any]:
    sources = [ll.TrainLoss(), ll.LearningRateMonitor(parts.opt)]
    return [
        *sources,
        ll.CsvMetrics(folder / "metrics.csv", parts.counter, sources),
        ll.JsonLines(folder / "metrics.jsonl", parts.counter, sources),
        ll.TensorBoard(parts.counter, sources, folder / "logs"),
        ll.History(parts.counter, sources),
        ll.Progress(parts.counter, sources, num_epochs=2),
        DrawingWriter(parts.counter, sources, every_steps=2),
    ]


def predictions(parts: Tiny, folder: Path) -> list[Any]:
    acc = parts.loaders_acc()
    return [
        acc,
        ll.CsvLogits(folder / "predicts.csv", acc, acc_key="val"),
        ll.ConfusionMatrix(folder / "confusion.csv", acc, acc_key="val"),
        ll.Predictions(folder / "classes.parquet", acc, "val", kind="classes", streamed=True),
        ll.SaveModelWeights(parts.model, folder / "weights"),
    ]


def between_batches(parts: Tiny, folder: Path) -> list[Any]:
    acc = parts.loaders_acc(factory=DrawingAccumulator)
    return [acc, EvaluatesOften(acc)]


class LooksByHand:
    """Calls the model itself between two batches, as ``ll.evaluation_mode`` is for."""

    def __init__(self, parts: Tiny) -> None:
        self.parts = parts

    def batch_end(self, step: ll.Step) -> None:
        with ll.evaluation_mode(self.parts.model):
            assert not self.parts.model(step.batch)["logits"].requires_grad


class ForgetsTrainMode:
    """Turns dropout and batch norm off to look, and leaves them so."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model

    def epoch_end(self) -> None:
        self.model.eval()

    def train_end(self) -> None:
        self.model.eval()


LOOKING: dict[str, Callable[[Tiny, Path], list[Any]]] = {
    "evaluations": lambda parts, folder: evaluations(parts),
    "evaluations within epochs": lambda parts, folder: within_epochs(parts),
    "accumulators that draw": lambda parts, folder: evaluations(parts, factory=DrawingAccumulator),
    "writers": writers,
    "predictions and weights": predictions,
    "evaluation between batches": between_batches,
    "a look by hand": lambda parts, folder: [LooksByHand(parts)],
    "train flags": lambda parts, folder: [ForgetsTrainMode(parts.model)],
    "reseeding": lambda parts, folder: [Reseeding()],
    "a profile": lambda parts, folder: [ll.Profile([parts.epoch], folder)],
    "a summary": lambda parts, folder: [
        ll.ModelSummary(parts.model, parts.feed, parts.loops["train"], folder / "model.txt")
    ],
    "another network": lambda parts, folder: [FreshNetwork()],
    "checkpoints": lambda parts, folder: [ll.Checkpointer(parts.counter, folder)],
}


@pytest.mark.parametrize("looking", LOOKING)
def test_leaves_the_final_weights_bit_identical(looking: str, tmp_path: Path) -> None:
    bare = tiny(dataset=Noisy()).trained()

    parts = tiny(dataset=Noisy())
    looked_at = parts.trained(*LOOKING[looking](parts, tmp_path))

    assert looked_at == bare


def test_flags_that_are_left_changed_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    parts = tiny(num_epochs=3)
    parts.trained(ForgetsTrainMode(parts.model))
    assert [record.message for record in caplog.records] == [
        "epoch_end left train flags changed, that of a Net for one; they are put back: use "
        "ll.evaluation_mode(model) to look at it, and epoch_start to change the training"
    ]


def test_flags_that_are_set_at_the_start_of_an_epoch_stay() -> None:
    class Freezes:
        def __init__(self, model: torch.nn.Module) -> None:
            self.model = model

        def epoch_start(self) -> None:
            self.model.layers[1].eval()

    parts = tiny()
    assert parts.trained(Freezes(parts.model)) != tiny().trained()
    assert [module.training for module in parts.model.layers] == [True, False, True, True, True]


def test_a_plugin_may_draw_at_train_start() -> None:
    class Draws:
        def train_start(self) -> None:
            draw()

    assert tiny().trained(Draws()) == tiny().trained()


def test_an_evaluation_that_fails_and_is_caught_changes_nothing() -> None:
    class Failing(DrawingAccumulator):
        def result(self) -> dict[str, Any]:
            raise ll.DataError("on purpose")

    class Catching:
        failures = 0

        def __init__(self, acc: ll.LoadersAcc) -> None:
            self.acc = acc

        def batch_end(self, step: ll.Step) -> None:
            try:
                self.acc.collect("train")
            except ll.DataError:
                self.failures += 1

    parts = tiny(dataset=Noisy())
    acc = parts.loaders_acc(factory=Failing)
    catching = Catching(acc)

    assert parts.trained(acc, catching) == tiny(dataset=Noisy()).trained()
    assert catching.failures == 12


@pytest.mark.parametrize("num_workers", [1, 2])
def test_so_does_the_number_of_workers(num_workers: int) -> None:
    alone = tiny(dataset=Noisy()).trained()
    assert tiny(dataset=Noisy(), num_workers=num_workers).trained() == alone


def test_another_seed_does_change_them() -> None:
    assert tiny(seed=1).trained() != tiny(seed=0).trained()
