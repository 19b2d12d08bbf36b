"""Each public brick by itself, in a run that is killed again and again: the same state and files.

How they bear with each other is in the other modules about resuming.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import legoloop as ll
from legoloop.core.growing_state import from_text
from legoloop.state.checkpoints import read_checkpoint, write_checkpoint
from tests.contracts.test_plugins import MADE, with_images
from tests.contracts.test_resume import Burns, Fuse, Killed, Saves, events
from tests.faults.outcomes import digest
from tests.tiny import Noisy, Tiny, accuracy, columns, mean_loss, sample_losses, tiny
from tests.training.step.test_closure_descent import Sam

Make = Callable[[Tiny, Path], Sequence[object]]
"""Puts what is looked at into the parts of a run, and gives the plugins that it adds."""

KILLS = (14, 13, 6, 18)
"""After so many stages of each attempt: in both epochs, and at the end; a save every three."""

OF_THE_CLOCK = {"Progress": "seconds", "TimeLimit": "spent"}
REMOTE = ("MlflowLogger", "TrackioLogger", "WandbLogger")
NOT_COMPARED = ("kept", "mlflow.db", "profile.txt", "trace.json.gz", "wandb")


@pytest.fixture(autouse=True)
def single_threaded() -> None:
    torch.set_num_threads(1)


class Balanced(Noisy):
    """Noisy records that tell their classes and weights."""

    def __init__(self) -> None:
        super().__init__()
        self.target = self.columns["target"]
        self.weight = self.target + 1.0
        self.length = self.target


def trained_on(stream: Callable[[Tiny], Any]) -> Make:
    def make(parts: Tiny, _: Path) -> Sequence[object]:
        parts.epoch = ll.SimpleEpoch(stream(parts), epoch_size=22)
        return []

    return make


def sampled_by(sampler: Any) -> Make:
    batching = ll.LoaderConfig(batch_size=4, sampler=sampler)
    return trained_on(lambda _: ll.BatchStream(Balanced(), "train", 0, batching))


def mixed(parts: Tiny) -> ll.MixedStream:
    more = ll.BatchStream(ll.ColumnDataset(columns(10)), "more", 0, ll.LoaderConfig(batch_size=4))
    return ll.MixedStream({**parts.loops, "more": more}, {"train": 2, "more": 1})


def with_a_scaler(parts: Tiny, folder: Path) -> Sequence[object]:
    """Steps are left out while it is too large, and it grows soon again."""
    feed = ll.Feed(parts.model, "cpu", precision="amp_fp16")
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**20, growth_interval=2)
    given = {"scaler": scaler, "micro_batch_size": 2}
    parts.descent = ll.GradientDescent(parts.opt, parts.model, feed, mean_loss, **given)
    return []


def sharpness_aware(parts: Tiny, _: Path) -> Sequence[object]:
    """Its momentum is in an optimizer of its own, of which its state says nothing."""
    parts.opt = Sam(parts.model.parameters(), lr=0.05, momentum=0.9)
    parts.descent = ll.ClosureDescent(
        parts.opt, parts.model, parts.feed, mean_loss, gradients_first=True
    )
    return []


def schedule_free(parts: Tiny, folder: Path) -> Sequence[object]:
    """Evaluated after every epoch, and its best weights kept."""
    from schedulefree import AdamWScheduleFree

    parts.opt = AdamWScheduleFree(parts.model.parameters(), lr=0.01)
    parts.descent = ll.GradientDescent(parts.opt, parts.model, parts.feed, mean_loss)
    loops = parts.loops_acc()
    measured = ll.AccumulatorMetrics(loops, accuracy)
    best = ll.BestModelWeights(parts.model, folder / "best", measured, "val/accuracy")
    return [loops, measured, best, ll.SaveModelWeights(parts.model, folder / "weights")]


def two_turns(parts: Tiny, _: Path) -> Sequence[object]:
    """Of a descent each, in place of the one of the tiny run."""
    second = copy.deepcopy(parts.model)
    made = [
        ll.AlternatingDescent(
            ll.GradientDescent(opt, model, ll.Feed(model, "cpu"), mean_loss), *place
        )
        for opt, model, place in (
            (parts.opt, parts.model, ("loss/first", 2, 1)),
            (torch.optim.SGD(second.parameters(), 0.1, 0.9), second, ("loss/second",)),
        )
    ]
    parts.descent = made[0]  # type: ignore[assignment]
    return made[1:]


def losses_in_parts(parts: Tiny, folder: Path) -> Sequence[object]:
    losses = ll.WeightedLosses({"name": mean_loss, "again": sample_losses}, {"again": 0.5})
    parts.descent = ll.GradientDescent(
        parts.opt, parts.model, parts.feed, losses, micro_batch_size=2
    )
    return [losses, ll.JsonLines(folder / "metrics.jsonl", parts.counter, losses, every_steps=2)]


def learnt_by_heart(parts: Tiny, _: Path) -> Sequence[object]:
    """In the second epoch."""
    falling = torch.optim.lr_scheduler.StepLR(parts.opt, step_size=1)
    rate = ll.LearningRateMonitor(parts.opt)
    schedule = ll.LRScheduler(falling, parts.counter, interval="epoch")
    return [schedule, rate, ll.OverfitCheck(rate, "lr", threshold=0.005)]


def every_two_steps(parts: Tiny, folder: Path) -> Sequence[object]:
    sources = [ll.TrainLoss(), ll.LearningRateMonitor(parts.opt)]
    given = {"counter": parts.counter, "every_steps": 2}
    return [
        *sources,
        ll.CsvMetrics(folder / "metrics.csv", sources=sources, **given),
        ll.JsonLines(folder / "metrics.jsonl", sources=sources, **given),
        ll.TensorBoard(acc_metrics=sources, logs_dir=folder / "logs", **given),
        ll.Progress(sources=sources, **given),
    ]


def within_epochs(parts: Tiny, folder: Path) -> Sequence[object]:
    """Evaluations every two steps and two epochs, and all that looks at them."""
    acc = with_images(parts).loops_acc(counter=parts.counter, every_epochs=2, every_steps=2)
    metrics = ll.AccumulatorMetrics(acc, accuracy)
    confusion = ll.ConfusionMatrix(folder / "confusion.csv", acc, "val")
    given = {"counter": parts.counter, "sources": [ll.TrainLoss(), metrics]}
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(parts.opt, "max", 0.5, patience=0)
    return [
        *(acc, metrics, confusion, given["sources"][0]),
        ll.ReduceLROnPlateauPlugin(plateau, metrics, "val/accuracy"),
        ll.EarlyStopping(metrics, "val/accuracy", patience=5),
        ll.BestModelWeights(parts.model, folder / "best", metrics, "val/accuracy"),
        ll.CsvMetrics(folder / "metrics.csv", **given),
        ll.JsonLines(folder / "metrics.jsonl", **given),
        ll.History(**given),
        ll.Progress(**given),
        ll.TensorBoard(parts.counter, given["sources"], folder / "logs", images=confusion),
    ]


def pictures(parts: Tiny, folder: Path) -> Sequence[object]:
    """After every epoch, in TensorBoard too."""
    loaders = with_images(parts).loaders_acc(when="epoch_end")
    looks = [
        ll.WorstErrors(folder / "worst_errors.png", loaders, "val"),
        ll.ConfusionMatrix(folder / "confusion.csv", loaders, "val"),
    ]
    board = ll.TensorBoard(parts.counter, ll.TrainLoss(), folder / "logs", images=looks)
    return [loaders, *looks, *board.sources, board]


def predictions(parts: Tiny, folder: Path) -> Sequence[object]:
    loaders = parts.loaders_acc()
    given = {"values": True, "probabilities": False, "classes": True}
    return [
        loaders,
        *(
            ll.Predictions(folder / f"{kind}.csv", loaders, "val", kind=kind, streamed=streamed)
            for kind, streamed in given.items()
        ),
    ]


def by_itself(kind: type) -> Make:
    return lambda parts, folder: [MADE[kind](parts, folder)]


def warmed_up(kind: Callable[..., Any]) -> Make:
    def make(parts: Tiny, _: Path) -> Sequence[object]:
        shape = {"shape": lambda progress: 1 - progress} if kind is ll.WarmupSchedule else {}
        schedule = kind(parts.opt, total_steps=12, warmup_steps=4, **shape)
        return [ll.LRScheduler(schedule, parts.counter, interval="step")]

    return make


SCHEDULES: tuple[Callable[..., Any], ...] = (
    ll.WarmupSchedule,
    ll.warmup_constant,
    ll.warmup_cosine,
    ll.warmup_linear,
    ll.warmup_polynomial,
    ll.warmup_step,
)
STREAMS = {
    ll.BatchStream: trained_on(
        lambda _: ll.BatchStream(Noisy(10), "train", 0, ll.LoaderConfig(batch_size=4))
    ),
    ll.LoaderStream: trained_on(
        lambda _: ll.LoaderStream(DataLoader(Noisy(), batch_size=4, shuffle=True))
    ),
    ll.MixedStream: trained_on(mixed),
    ll.RepeatedBatches: trained_on(lambda parts: ll.RepeatedBatches(parts.loops["train"], 2)),
}
CASES: dict[str, Make] = {
    **{kind.__name__: by_itself(kind) for kind in MADE},
    **{f"{kind.__name__} to train on": make for kind, make in STREAMS.items()},
    **{kind.__name__: warmed_up(kind) for kind in SCHEDULES},
    "ClassBalancedSampler": sampled_by(ll.ClassBalancedSampler()),
    "WeightedSampler": sampled_by(ll.WeightedSampler()),
    "BucketSampler": sampled_by(ll.BucketSampler(batch_size=4, key="length")),
    "OverfitCheck": learnt_by_heart,
    "a scaler": with_a_scaler,
    "schedule-free": schedule_free,
    "sharpness-aware": sharpness_aware,
    "two turns": two_turns,
    "weighted losses in parts": losses_in_parts,
    "writers every two steps": every_two_steps,
    "evaluations within epochs": within_epochs,
    "pictures after every epoch": pictures,
    "predictions of every kind": predictions,
}


@dataclass
class Run:
    """One run in one folder, in as many attempts as it takes."""

    make: Make
    folder: Path
    saved: dict[str, Any] | None = None

    def attempt(self, kill_at: int | None = None) -> dict[str, Any] | None:
        """Go on from the last save, in fresh objects; nothing comes of it if it is killed."""
        fuse = Fuse(kill_at)
        parts = tiny(dataset=Noisy())
        made = self.make(parts, self.folder)
        own = [parts.counter, parts.epoch, parts.descent, parts.last]
        others = [plugin for plugin in made if all(plugin is not part for part in own)]
        host = parts.host(Burns(fuse), *others, Saves(3, self._save))
        if self.saved is not None:
            write_checkpoint(self.folder / "kept" / "of_the_test", self.saved)
            host.load_state_dict(read_checkpoint(self.folder / "kept" / "of_the_test"))
        try:
            host.run()
        except Killed:
            return None
        return {**_states(host), **_files(self.folder)}

    def _save(self, state: dict[str, Any]) -> None:
        self.saved = copy.deepcopy(state)


def _states(host: ll.TrainingHost) -> dict[str, Any]:
    state = host.state_dict()
    for name, plugin in state["plugins"].items():
        plugin.pop(OF_THE_CLOCK.get(name), None)
        if name in REMOTE:
            plugin.pop("run_id")
            plugin["record"] = [report[::2] for report in from_text(plugin["record"])]
        for told in ("record", "pictures") if name == "TensorBoard" else ():
            plugin[told] = [event[:3] for event in from_text(plugin[told])]  # without the time
    return {name: digest(of_plugin) for name, of_plugin in state.pop("plugins").items()} | {
        "rest": digest(state)
    }


def _files(folder: Path) -> dict[str, Any]:
    paths = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    compared = {
        name: path.read_bytes()
        for name, path in paths.items()
        if not name.startswith((*NOT_COMPARED, "logs"))
    }
    return {**compared, "events": events(folder / "logs") if (folder / "logs").exists() else None}


def params() -> list[Any]:
    slow = dict.fromkeys(REMOTE, pytest.mark.slow)
    return [pytest.param(name, marks=slow.get(name, ())) for name in CASES]


def test_none_is_missing_here() -> None:
    public = [getattr(ll, name) for name in ll.__all__]
    stateful = {one for one in public if isinstance(one, type) and hasattr(one, "state_dict")}
    bases = {ll.TrainingHost, ll.ScalarWriter}
    looked_at = {
        kind for kind in (*MADE, *STREAMS, ll.WarmupSchedule) if hasattr(kind, "state_dict")
    }
    assert stateful - bases == looked_at


@pytest.mark.parametrize("name", params())
def test_killed_again_and_again(name: str, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole = Run(CASES[name], tmp_path / "whole").attempt()
    assert whole is not None
    killed = Run(CASES[name], tmp_path / "killed")
    for kill in KILLS:
        assert killed.attempt(kill) is None

    assert killed.attempt() == whole
