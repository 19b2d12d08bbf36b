from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import legoloop as ll
from legoloop.output import profiling
from tests.tiny import Noisy, Tiny, accuracy, mean_loss, tiny, weights


class Clock:
    """Stands still but for what a part of the training says it takes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1.0
        monkeypatch.setattr(profiling, "_now", lambda: self.now)

    def takes(self, seconds: float, made: Any = None) -> Any:
        self.now += seconds
        return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class SlowEpoch(ll.SimpleEpoch):
    clock: Clock

    def batches(self) -> Iterator[tuple[Any, int]]:
        for batch in super().batches():
            yield self.clock.takes(0.5, batch)


def slow(clock: Clock, micro_batch_size: int | None = None) -> Tiny:
    """A step takes 0.5 for data, then 1 a forward pass and 2 a backward pass, and 4 to be made."""
    parts = tiny(num_epochs=2)
    parts.epoch = SlowEpoch(parts.loops["train"])
    parts.epoch.clock = clock

    class Slow(torch.autograd.Function):
        @staticmethod
        def forward(_: Any, loss: torch.Tensor) -> torch.Tensor:
            return clock.takes(1.0, loss.clone())

        @staticmethod
        def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:
            return clock.takes(2.0, gradient)

    class SlowSgd(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:
            super().step(closure)
            clock.takes(4.0)

    parts.descent = ll.GradientDescent(
        SlowSgd(parts.model.parameters(), lr=0.1),
        parts.model,
        parts.feed,
        lambda *given: Slow.apply(mean_loss(*given)),
        micro_batch_size=micro_batch_size,
    )
    return parts


@pytest.mark.parametrize(("micro_batch_size", "passes"), [(None, 6), (2, 11)])
def test_each_second_is_told_where_it_went(
    micro_batch_size: int | None, passes: int, clock: Clock, tmp_path: Path
) -> None:
    parts = slow(clock, micro_batch_size)
    acc = parts.loaders_acc(
        factory=lambda: clock.takes(8.0, ll.ListAccumulator()), datasets=["val"]
    )
    measured = ll.AccumulatorMetrics(acc, lambda _: clock.takes(16.0, {"x": 1.0}))

    class Slow:
        def train_start(self) -> None:
            clock.takes(32.0)

        def batch_end(self, step: ll.Step) -> None:
            clock.takes(64.0)

        def epoch_end(self) -> None:
            clock.takes(128.0)

    profile = ll.Profile([parts.epoch], tmp_path, [acc], [parts.descent])
    acc.factory = lambda: clock.takes(8.0, Rows())
    parts.host(profile, acc, measured, Slow()).run()

    assert profile.steps == 12
    assert profile.seconds == {
        "start": 32.0,
        "data": 12 * 0.5,
        "forward": 2 * passes * 1.0,
        "backward": 2 * passes * 2.0,
        "step": 12 * 4.0,
        "others": 12 * 64.0,
        "evaluation": 8.0,
        "writing": 16.0 + 2 * 128.0,
    }


def test_a_descent_of_ones_own_may_tell_its_phases(clock: Clock, tmp_path: Path) -> None:
    class Own:
        on_phase: Any = None

        def batch(self, step: ll.Step) -> None:
            clock.takes(2.0)
            self.on_phase("backward")
            clock.takes(4.0)

    parts = tiny()
    profile = ll.Profile([parts.epoch], tmp_path, descents=[descent := Own()])
    parts.host(profile, descent).run()

    assert profile.seconds["backward"] == 12 * 2.0
    assert profile.seconds["others"] == 12 * 4.0
    assert descent.on_phase is None


def test_several_descents_are_timed_alike(clock: Clock, tmp_path: Path) -> None:
    parts = slow(clock)
    turns = ll.AlternatingDescent(parts.descent, tag="loss", every=2)
    profile = ll.Profile([parts.epoch], tmp_path, descents=[turns])
    parts.descent = turns  # type: ignore[assignment]
    parts.host(profile).run()
    assert profile.seconds["backward"] == 6 * 2.0


class Rows(ll.Accumulator):
    def add(self, values: Any) -> None: ...

    def result(self) -> dict[str, Any]:
        return {}


def traced(folder: Path) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads(
        gzip.decompress((folder / "trace.json.gz").read_bytes())
    )["traceEvents"]
    return events


@pytest.mark.parametrize(("wait", "active", "recorded"), [(5, 3, 3), (0, 1, 1), (9, 99, 3)])
def test_traces_so_many_steps(wait: int, active: int, recorded: int, tmp_path: Path) -> None:
    parts = tiny()
    parts.host(ll.Profile([parts.epoch], tmp_path, wait=wait, active=active)).run()
    made = [event for event in traced(tmp_path) if event["name"] == "Optimizer.step#Adam.step"]
    assert len(made) == recorded


def test_a_training_shorter_than_what_is_skipped_has_no_trace(tmp_path: Path) -> None:
    parts = tiny(num_epochs=1)
    parts.host(ll.Profile([parts.epoch], tmp_path, wait=99)).run()
    assert [file.name for file in tmp_path.iterdir()] == ["profile.txt"]


def test_the_run_is_the_same_and_nothing_is_left_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tiny(dataset=Noisy()).trained()
    parts = tiny(dataset=Noisy())
    acc = parts.loaders_acc()
    metrics = ll.AccumulatorMetrics(acc, accuracy)
    profile = ll.Profile([parts.epoch], tmp_path, [acc], [parts.descent])

    assert parts.trained(profile, acc, metrics) == bare == weights(parts.model)

    assert parts.descent.on_phase is None
    assert "batches" not in vars(parts.epoch)
    assert not {"collect", "iterate"} & set(vars(acc))
    told = capsys.readouterr().out
    assert told == (tmp_path / "profile.txt").read_text()
    assert [line.split()[0] for line in told.splitlines()[1:]] == list(profiling.PHASES)
    assert told.startswith("12 steps, ")


def test_a_run_that_fails_is_told_of_and_undone(tmp_path: Path) -> None:
    class Fails:
        def epoch_end(self) -> None:
            raise RuntimeError("on purpose")

    parts = tiny()
    profile = ll.Profile([parts.epoch], tmp_path, descents=[parts.descent])
    with pytest.raises(RuntimeError, match="on purpose"):
        parts.host(profile, Fails()).run()
    assert parts.descent.on_phase is None
    assert (tmp_path / "profile.txt").is_file()


def test_the_step_that_ends_the_training_counts(tmp_path: Path) -> None:
    parts = tiny()
    profile = ll.Profile([parts.epoch], tmp_path)
    parts.host(profile, ll.LastStep(parts.counter, num_steps=4)).run()
    assert profile.steps == parts.counter.steps == 4


def test_unless_enabled_nothing_is_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = tiny()
    parts.host(ll.Profile([parts.epoch], tmp_path, enabled=False)).run()
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


def test_refuses_to_trace_nothing(tmp_path: Path) -> None:
    with pytest.raises(ll.ArgumentError, match="active is 0"):
        ll.Profile([tiny().epoch], tmp_path, active=0)
