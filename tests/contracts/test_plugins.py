"""What every public plugin keeps to."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import torch

import legoloop as ll
from legoloop.core.study_storage import RUN_DIR, open_storage
from legoloop.loop.plan import Plan
from legoloop.loop.stages import Stage
from legoloop.state.checkpoints import read_checkpoint, write_checkpoint
from tests.tiny import Tiny, accuracy, collected, columns, mean_loss, tiny


def a_schedule(parts: Tiny) -> ll.LRScheduler:
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(parts.opt, T_max=9)
    return ll.LRScheduler(cosine, parts.counter, interval="step")


def a_clipping(parts: Tiny) -> ll.GradientClipping:
    parts.descent.clip = clipping = ll.GradientClipping(max_norm=1.0)
    return clipping


def a_closure_descent(parts: Tiny) -> ll.ClosureDescent:
    parts.opt = torch.optim.LBFGS(parts.model.parameters(), lr=0.1, max_iter=3)
    made = ll.ClosureDescent(parts.opt, parts.model, parts.feed, mean_loss)
    parts.descent = made
    return made


def a_turn(parts: Tiny) -> ll.AlternatingDescent:
    """Of another model, since the tiny run trains its own already."""
    model = copy.deepcopy(parts.model)
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    descent = ll.GradientDescent(opt, model, ll.Feed(model, "cpu"), mean_loss)
    return ll.AlternatingDescent(descent, tag="loss/second", every=2)


def some_phases(parts: Tiny) -> ll.Phases:
    """Of two descents and two data sets, in place of those of the tiny run."""
    second = torch.optim.SGD(parts.model.parameters(), lr=0.1, momentum=0.9)
    descents = {
        "adam": parts.descent,
        "sgd": ll.GradientDescent(second, parts.model, parts.feed, mean_loss),
    }
    more = ll.BatchStream(ll.ColumnDataset(columns()), "more", 0, ll.LoaderConfig(batch_size=4))
    phases = ll.Phases(
        *(parts.counter, parts.model, {**parts.loops, "more": more}),
        {
            "first": {"from_epoch": 0, "descent": "adam", "frozen": ["layers.0.*"]},
            "then": {"from_epoch": 1, "descent": "sgd", "frozen": [], "data": "more"},
        },
        descents=descents,
    )
    parts.descent = phases  # type: ignore[assignment]
    parts.epoch = ll.SimpleEpoch(phases)
    return phases


def some_losses(parts: Tiny) -> ll.WeightedLosses:
    losses = ll.WeightedLosses({"name": mean_loss})
    parts.descent = ll.GradientDescent(parts.opt, parts.model, parts.feed, losses)
    return losses


def an_mlflow_logger(parts: Tiny, folder: Path) -> ll.MlflowLogger:
    pytest.importorskip("mlflow")
    uri = f"sqlite:///{folder}/mlflow.db"
    return ll.MlflowLogger(parts.counter, ll.LearningRateMonitor(parts.opt), uri)


def a_wandb_logger(parts: Tiny, folder: Path) -> ll.WandbLogger:
    pytest.importorskip("wandb")
    rate = ll.LearningRateMonitor(parts.opt)
    return ll.WandbLogger(parts.counter, rate, mode="offline", folder=folder)


def a_trackio_logger(parts: Tiny, folder: Path) -> ll.TrackioLogger:
    pytest.importorskip("trackio")
    return ll.TrackioLogger(parts.counter, ll.LearningRateMonitor(parts.opt))


def a_pruning(parts: Tiny, folder: Path) -> ll.Pruning:
    """For the first trial of a study, which lies elsewhere."""
    import optuna

    journal = f"{mkdtemp()}/study.journal"
    study = optuna.create_study(storage=open_storage(journal), study_name="mine")
    study.ask().set_user_attr(RUN_DIR, str(folder.absolute()))
    pruner, rate = optuna.pruners.MedianPruner(), ll.LearningRateMonitor(parts.opt)
    return ll.Pruning(rate, parts.counter, "lr", pruner, journal, "mine", str(folder))


def with_images(parts: Tiny) -> Tiny:
    columns = {"image": torch.ones(9, 4, 4), "x": torch.ones(9, 4), "target": torch.arange(9) % 3}
    parts.loaders["val"] = ll.Loader(
        ll.ColumnDataset(columns), "val", 0, ll.LoaderConfig(batch_size=4)
    )
    return parts


MADE: dict[type, Callable[[Tiny, Path], Any]] = {
    ll.AccumulatorMetrics: lambda parts, _: ll.AccumulatorMetrics(parts.loaders_acc(), accuracy),
    ll.BatchTransform: lambda parts, _: ll.BatchTransform(dict),
    ll.BestModelWeights: lambda parts, folder: ll.BestModelWeights(
        parts.model, folder / "weights_best", ll.LearningRateMonitor(parts.opt), "lr", mode="max"
    ),
    ll.Checkpointer: lambda parts, folder: ll.Checkpointer(parts.counter, folder / "kept"),
    ll.ClosureDescent: lambda parts, _: a_closure_descent(parts),
    ll.Counter: lambda parts, _: parts.counter,
    ll.ConfusionMatrix: lambda parts, folder: ll.ConfusionMatrix(
        folder / "confusion.csv", parts.loaders_acc(), acc_key="val"
    ),
    ll.CsvLogits: lambda parts, folder: ll.CsvLogits(
        folder / "predicts.csv", parts.loaders_acc(), acc_key="val"
    ),
    ll.CsvMetrics: lambda parts, folder: ll.CsvMetrics(
        folder / "metrics.csv", parts.counter, ll.LearningRateMonitor(parts.opt)
    ),
    ll.DetectAnomaly: lambda parts, _: ll.DetectAnomaly(),
    ll.DeterministicAlgorithms: lambda parts, _: ll.DeterministicAlgorithms(),
    ll.EarlyStopping: lambda parts, _: ll.EarlyStopping(
        ll.LearningRateMonitor(parts.opt), "lr", patience=99
    ),
    ll.ExponentialMovingAverage: lambda parts, _: ll.ExponentialMovingAverage(parts.descent),
    ll.Freeze: lambda parts, _: ll.Freeze(parts.descent, parts.counter, ["layers.0.*"]),
    ll.GradientClipping: lambda parts, _: a_clipping(parts),
    ll.GradientDescent: lambda parts, _: parts.descent,
    ll.History: lambda parts, _: ll.History(parts.counter, ll.LearningRateMonitor(parts.opt)),
    ll.JsonLines: lambda parts, folder: ll.JsonLines(
        folder / "metrics.jsonl", parts.counter, ll.LearningRateMonitor(parts.opt)
    ),
    ll.LastEpoch: lambda parts, _: parts.last,
    ll.LastSample: lambda parts, _: ll.LastSample(parts.counter, num_samples=999),
    ll.LastStep: lambda parts, _: ll.LastStep(parts.counter, num_steps=999),
    ll.LearningRateMonitor: lambda parts, _: ll.LearningRateMonitor(parts.opt),
    ll.LoadersAcc: lambda parts, _: parts.loaders_acc(),
    ll.LoopsAcc: lambda parts, _: parts.loops_acc(),
    ll.ReduceLROnPlateauPlugin: lambda parts, _: ll.ReduceLROnPlateauPlugin(
        torch.optim.lr_scheduler.ReduceLROnPlateau(parts.opt),
        ll.LearningRateMonitor(parts.opt),
        "lr",
    ),
    ll.LRScheduler: lambda parts, _: a_schedule(parts),
    ll.MlflowLogger: an_mlflow_logger,
    ll.Phases: lambda parts, _: some_phases(parts),
    ll.Profile: lambda parts, folder: ll.Profile([parts.epoch], folder),
    ll.WorstErrors: lambda parts, folder: ll.WorstErrors(
        folder / "worst_errors.png", with_images(parts).loaders_acc(), acc_key="val"
    ),
    ll.ModelSummary: lambda parts, folder: ll.ModelSummary(
        parts.model, parts.feed, parts.loops["train"], folder / "model.txt"
    ),
    ll.OverfitCheck: lambda parts, _: ll.OverfitCheck(
        ll.LearningRateMonitor(parts.opt), "lr", threshold=99
    ),
    ll.Progress: lambda parts, _: ll.Progress(parts.counter, ll.LearningRateMonitor(parts.opt)),
    ll.Pruning: a_pruning,
    ll.Predictions: lambda parts, folder: ll.Predictions(
        folder / "classes.parquet", parts.loaders_acc(), acc_key="val", kind="classes"
    ),
    ll.SaveModelWeights: lambda parts, folder: ll.SaveModelWeights(parts.model, folder / "weights"),
    ll.SimpleEpoch: lambda parts, _: parts.epoch,
    ll.SystemMetrics: lambda parts, _: ll.SystemMetrics(parts.counter, torch.device("cpu")),
    ll.TensorBoard: lambda parts, folder: ll.TensorBoard(
        parts.counter, ll.LearningRateMonitor(parts.opt), folder / "logs"
    ),
    ll.TimeLimit: lambda parts, _: ll.TimeLimit(seconds=999),
    ll.TrackioLogger: a_trackio_logger,
    ll.TrainLoss: lambda parts, _: ll.TrainLoss(),
    ll.TrainMetrics: lambda parts, _: ll.TrainMetrics(accuracy),
    ll.AlternatingDescent: lambda parts, _: a_turn(parts),
    ll.WandbLogger: a_wandb_logger,
    ll.WeightedLosses: lambda parts, _: some_losses(parts),
    ll.EvaluationSanityCheck: lambda parts, _: ll.EvaluationSanityCheck(
        parts.loops, parts.model, parts.feed, collected, accuracy
    ),
}
SLOW = (ll.MlflowLogger, ll.WandbLogger)
"""What they log to takes seconds to import."""


def of_each(kinds: Iterable[type]) -> pytest.MarkDecorator:
    """A test of each of these kinds of plugins."""
    params = [
        pytest.param(kind, marks=pytest.mark.slow if kind in SLOW else (), id=kind.__name__)
        for kind in kinds
    ]
    return pytest.mark.parametrize("kind", params)


every_plugin = of_each(MADE)
stateful = of_each(kind for kind in MADE if hasattr(kind, "state_dict"))


def is_plugin(public: Any) -> bool:
    hears = any(hasattr(public, stage) for stage in (*Stage, "scalars", "batches"))
    is_base = public in (ll.TrainingPlugin, ll.ScalarWriter, ll.Step)
    return isinstance(public, type) and hears and not is_base


def in_a_run(kind: type, folder: Path) -> tuple[Tiny, Any, ll.TrainingHost]:
    parts = tiny()
    plugin = MADE[kind](parts, folder)
    own = [parts.counter, parts.epoch, parts.descent, parts.last]
    return parts, plugin, parts.host(*[plugin] * all(plugin is not part for part in own))


def test_none_is_missing_here() -> None:
    assert {getattr(ll, name) for name in ll.__all__ if is_plugin(getattr(ll, name))} == set(MADE)


@every_plugin
def test_is_made_without_writing_or_drawing_and_takes_part_in_a_run(
    kind: type, tmp_path: Path
) -> None:
    parts = tiny()
    state = torch.get_rng_state()
    plugin = MADE[kind](parts, tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert list(tmp_path.iterdir()) == []

    _, plugin, host = in_a_run(kind, tmp_path)
    host.run()
    assert plugin in host.plan.plugins.values()


@every_plugin
def test_only_the_driver_drives(kind: type, tmp_path: Path) -> None:
    class Driver:
        def batches(self) -> Any: ...

    plugin = MADE[kind](tiny(), tmp_path)
    if kind is ll.SimpleEpoch:
        assert Plan.of([plugin]).driver == "SimpleEpoch"
    else:
        assert Plan.of([plugin, Driver()]).driver == "Driver"


@every_plugin
def test_has_both_halves_of_the_state_protocol_or_none(kind: type) -> None:
    assert hasattr(kind, "state_dict") == hasattr(kind, "load_state_dict")


def same(left: Any, right: Any) -> bool:
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


@stateful
def test_its_state_goes_through_a_checkpoint_into_a_fresh_one(kind: type, tmp_path: Path) -> None:
    _, plugin, host = in_a_run(kind, tmp_path / "a")
    host.run()
    write_checkpoint(tmp_path / "12", plugin.state_dict())
    _, fresh, _ = in_a_run(kind, tmp_path / "b")
    assert not same(fresh.state_dict(), plugin.state_dict())

    fresh.load_state_dict(read_checkpoint(tmp_path / "12"))

    assert same(fresh.state_dict(), plugin.state_dict())


@stateful
def test_train_start_keeps_a_state_that_was_loaded(kind: type, tmp_path: Path) -> None:
    _, plugin, host = in_a_run(kind, tmp_path)
    host.run()
    write_checkpoint(tmp_path / "12", plugin.state_dict())

    getattr(plugin, "train_start", lambda: None)()

    assert same(plugin.state_dict(), read_checkpoint(tmp_path / "12"))


@every_plugin
def test_may_be_closed_before_it_began_and_twice(kind: type, tmp_path: Path) -> None:
    plugin = MADE[kind](tiny(), tmp_path)
    close = getattr(plugin, "close", lambda: None)
    close()
    close()
