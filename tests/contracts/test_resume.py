"""A run that was killed and resumed leaves what the uninterrupted run leaves, bit for bit."""

from __future__ import annotations

import copy
import random
import re
from collections import Counter as Multiset
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cache
from io import StringIO
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

import legoloop as ll
from legoloop.loop.stages import Stage
from legoloop.state.checkpoints import read_checkpoint, write_checkpoint
from tests.loop.tiny_plugins import Trace
from tests.tiny import Noisy, accuracy, tiny, weights


@pytest.fixture(autouse=True)
def single_threaded() -> None:
    torch.set_num_threads(1)


def drawn() -> float:
    return random.random() + np.random.rand() + torch.rand(()).item()


class Killed(Exception):
    pass


class Fuse:
    """Burns down by one at every stage that a ``Burns`` hears, and then kills."""

    def __init__(self, left: int | None) -> None:
        self.left = left
        self.burnt = 0

    def burn(self) -> None:
        self.burnt += 1
        if self.burnt == self.left:
            raise Killed


class Burns(Trace):
    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self.fuse = fuse

    def _record(self, stage: Stage) -> None:
        self.fuse.burn()


class Saves(Trace):
    """Asks for a save at every so many stages."""

    def __init__(self, every: int, save: Any) -> None:
        super().__init__()
        self.every = every
        self.save = save

    def _record(self, stage: Stage) -> ll.ShouldSave | None:
        super()._record(stage)
        return None if len(self.stages) % self.every else ll.ShouldSave(self.save)


class Own(Trace):
    """A user's plugin: keeps its stages and draws, and looks at an evaluation in mid-epoch."""

    def __init__(self, acc: ll.LoadersAcc, stop_at: int | None) -> None:
        super().__init__()
        self.acc = acc
        self.stop_at = stop_at
        self.seen: list[float] = []

    def _record(self, stage: Stage) -> Any:
        if stage is Stage.TRAIN_START:
            return None
        super()._record(stage)
        if stage is Stage.BATCH:
            self.seen.append(drawn())
        if stage is Stage.BATCH_END and len(self.seen) % 2:
            self.seen.append(float(self.acc.collect("val")["logits"].sum()))
        asks_now = stage is Stage.BATCH_END and self.stages.count(stage) == self.stop_at
        return ll.ShouldStop("enough") if asks_now else None

    def state_dict(self) -> dict[str, Any]:
        return {"stages": [str(stage) for stage in self.stages], "seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.stages = [Stage(stage) for stage in state["stages"]]
        self.seen = list(state["seen"])


@dataclass
class Outcome:
    """All that is left of a run."""

    stop_reason: str | None
    stages: list[Stage]
    seen: list[float]
    rows: dict[int, dict[str, float]]
    metrics: str
    json_lines: str
    lines: list[str]
    events: Multiset[Any]
    predicts: str
    saved_weights: bytes
    best_weights: bytes
    weights: bytes
    drawn_next: float


@dataclass
class Run:
    """One run in one folder, in as many attempts as it takes."""

    folder: Path
    save_every: int = 3
    num_workers: int = 0
    stop_at: int | None = None
    stages: int = 0
    lines: list[str] = field(default_factory=list)
    saved: tuple[dict[str, Any], list[str]] | None = None

    def attempt(self, kill_at: int | None = None) -> Outcome | None:
        """Go on from the last save, in fresh objects; nothing comes of it if it is killed."""
        fuse = Fuse(kill_at)
        host, outcome = self._made(fuse)
        self.lines = self._resumed(host)
        try:
            with redirect_stdout(Lines(self.lines)):
                host.run()
        except Killed:
            return None
        finally:
            self.stages = fuse.burnt
        return outcome()

    def _made(self, fuse: Fuse) -> tuple[ll.TrainingHost, Callable[[], Outcome]]:
        parts = tiny(num_epochs=5, batch_size=8, num_workers=self.num_workers, dataset=Noisy())
        loops, loaders = parts.loops_acc(samples_limit=5), parts.loaders_acc()
        each = ll.AccumulatorMetrics(loops, accuracy)
        sources = [
            ll.TrainLoss(),
            ll.TrainMetrics(accuracy),
            ll.LearningRateMonitor(parts.opt),
            each,
            ll.AccumulatorMetrics(loaders, accuracy, prefix="final/"),
        ]
        rate = torch.optim.lr_scheduler.CosineAnnealingLR(parts.opt, T_max=9)
        history = ll.History(parts.counter, sources)
        own = Own(loaders, self.stop_at)
        host = ll.TrainingHost(
            [
                Burns(fuse),
                *(parts.counter, parts.epoch, parts.descent, parts.last),
                ll.LRScheduler(rate, parts.counter, interval="step"),
                *(loops, loaders, *sources, history, own),
                ll.EarlyStopping(each, "train/accuracy", patience=2, mode="max"),
                ll.CsvMetrics(self.folder / "metrics.csv", parts.counter, sources, every_steps=2),
                ll.JsonLines(self.folder / "metrics.jsonl", parts.counter, sources),
                ll.TensorBoard(
                    parts.counter,
                    sources,
                    self.folder / "logs",
                    hparams={"lr": 0.01},
                    every_steps=2,
                ),
                ll.Progress(parts.counter, sources),
                ll.ModelSummary(parts.model, parts.feed, parts.loops["train"], print=False),
                ll.CsvLogits(self.folder / "predicts.csv", loaders, acc_key="train"),
                ll.SaveModelWeights(parts.model, self.folder / "weights"),
                ll.BestModelWeights(
                    parts.model, self.folder / "best", each, "train/accuracy", restore=True
                ),
                Saves(self.save_every, self._save),
                Burns(fuse),
            ]
        )
        return host, lambda: Outcome(
            stop_reason=host.stop_reason,
            stages=own.stages,
            seen=own.seen,
            rows=history.rows,
            metrics=(self.folder / "metrics.csv").read_text(),
            json_lines=(self.folder / "metrics.jsonl").read_text(),
            lines=[
                re.sub(r"(  \S+ s\b|; \S+ samples).*", "", line)
                for line in self.lines
                if _is_row(line)
            ],
            events=events(self.folder / "logs"),
            predicts=(self.folder / "predicts.csv").read_text(),
            saved_weights=(self.folder / "weights").read_bytes(),
            best_weights=(self.folder / "best").read_bytes(),
            weights=weights(parts.model),
            drawn_next=drawn(),
        )

    def _save(self, state: dict[str, Any]) -> None:
        self.saved = copy.deepcopy(state), list(self.lines)

    def _resumed(self, host: ll.TrainingHost) -> list[str]:
        """The lines that the terminal showed up to the save that the host goes on from."""
        if self.saved is None:
            for file in self._files():  # what the app puts aside if nothing can be gone on from
                file.unlink()
            return []
        state, lines = self.saved
        write_checkpoint(self.folder / "checkpoint", state)
        before = self._files()
        host.load_state_dict(read_checkpoint(self.folder / "checkpoint"))
        assert self._files() == before
        return list(lines)

    def _files(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}


def _is_row(line: str) -> bool:
    """Whether it tells numbers; each attempt has a heading of its own."""
    return bool(re.match(r" *\d|train |val |best ", line))


class Lines(StringIO):
    """Keeps every line that is printed."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines

    def write(self, text: str) -> int:
        self.lines.extend(text.splitlines() if text != "\n" else [])
        return len(text)


def events(folder: Path) -> Multiset[Any]:
    """What the event files hold, as they are, and how many times each."""
    found: Multiset[Any] = Multiset()
    for file in folder.iterdir():
        for record in RawEventFileLoader(str(file)).Load():
            event = Event.FromString(record)
            for value in event.summary.value:
                found[event.step, value.tag, value.simple_value] += 1
    return found


@cache
def uninterrupted(stop_at: int | None = None) -> tuple[Outcome, int]:
    """What is left of a run that nothing happens to, and how many stages it is made of."""
    with TemporaryDirectory() as folder:
        run = Run(Path(folder), stop_at=stop_at)
        outcome = run.attempt()
        assert outcome is not None
        return outcome, run.stages


def after_kills(*kills: int, **given: Any) -> Outcome:
    """What is left of a run that is killed after so many stages of one attempt after another."""
    with TemporaryDirectory() as folder:
        run = Run(Path(folder), **given)
        for kill in kills:
            if (ended_before := run.attempt(kill)) is not None:
                return ended_before
        outcome = run.attempt()
        assert outcome is not None
        return outcome


def test_the_run_that_is_compared_with_has_everything_in_it() -> None:
    outcome, stages = uninterrupted()
    assert stages == 78
    assert str(outcome.stop_reason).startswith("train/accuracy has not risen")
    assert list(outcome.rows) == [3, 6, 9]
    assert len(outcome.lines) == 6  # three epochs, two data sets, the best
    assert set(outcome.events.values()) == {1}
    tags = {tag for _, tag, _ in outcome.events}
    assert tags > {"loss", "lr", "~final/val/accuracy", "_hparams_/session_start_info"}
    stopped, _ = uninterrupted(stop_at=5)
    assert stopped.stop_reason == "enough"
    assert list(stopped.rows) == [3, 5]


@pytest.mark.slow
@given(
    kills=st.lists(st.integers(1, 78), min_size=1, max_size=4),
    save_every=st.integers(1, 9),
    stop_at=st.sampled_from([None, 5]),
)
@settings(max_examples=20, phases=[Phase.generate])  # shrinking takes minutes and tells little
def test_killed_anywhere_again_and_again(
    kills: list[int], save_every: int, stop_at: int | None
) -> None:
    outcome = after_kills(*kills, save_every=save_every, stop_at=stop_at)
    assert outcome == uninterrupted(stop_at)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("save_every", "stop_at"),
    [
        pytest.param(1, None, marks=pytest.mark.long),
        (2, 5),
        pytest.param(7, None, marks=pytest.mark.long),
        pytest.param(7, 5, marks=pytest.mark.long),
    ],
)
def test_killed_at_every_stage(save_every: int, stop_at: int | None) -> None:
    outcome, stages = uninterrupted(stop_at)
    for kill in range(1, stages + 1):
        after = after_kills(kill, save_every=save_every, stop_at=stop_at)
        assert after == outcome, f"killed at {kill}"


@pytest.mark.slow
@pytest.mark.parametrize("kill", [20, pytest.param(47, marks=pytest.mark.long)])
def test_with_workers(kill: int) -> None:
    assert after_kills(kill, save_every=2, num_workers=2) == uninterrupted()[0]


def test_resumed_at_its_very_end(tmp_path: Path) -> None:
    run = Run(tmp_path, save_every=1)
    run.attempt()

    outcome = run.attempt()

    expected, _ = uninterrupted()
    assert outcome == replace(expected, stages=[*expected.stages, Stage.TRAIN_END])


def test_a_stream_that_cannot_go_on_is_said_to_begin_anew(caplog: pytest.LogCaptureFixture) -> None:
    def an_epoch() -> ll.SimpleEpoch:
        return ll.SimpleEpoch(repeat({"x": [1, 2]}), epoch_size=6)

    first, second = an_epoch(), an_epoch()
    next(first.batches())
    second.load_state_dict(first.state_dict())

    assert (
        "the training stream, a repeat, starts from its beginning: it has no load_state_dict"
        in caplog.text
    )
    assert [size for _, size in second.batches()] == [2, 2]
