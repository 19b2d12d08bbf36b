from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import legoloop as ll
from tests.tiny import accuracy, tiny
from tests.told import Told


class Kept(ll.ScalarWriter):
    """Keeps every call of ``write``."""

    def __init__(self, counter: ll.Counter, sources: Any, every_steps: int | None = None) -> None:
        super().__init__(counter, sources, every_steps)
        self.calls: list[tuple[int, dict[str, float]]] = []

    def write(self, step: int, scalars: dict[str, float]) -> None:
        self.calls.append((step, dict(scalars)))


def test_takes_one_source_or_several() -> None:
    assert len(Kept(ll.Counter(), Told(a=1)).sources) == 1
    assert len(Kept(ll.Counter(), (Told(a=1), Told(b=2))).sources) == 2


def test_writes_each_tag_once_for_each_step() -> None:
    counter, source = ll.Counter(), Told(a=1.0)
    writer = Kept(counter, [source, ll.TrainLoss()])

    writer.epoch_end()
    source.now = {"a": 1.0, "b": 2.0}
    writer.train_end()
    counter.steps = 5
    writer.epoch_end()
    writer.train_end()

    assert writer.calls == [(0, {"a": 1.0}), (0, {"b": 2.0}), (5, {"a": 1.0, "b": 2.0})]


def test_writes_plain_floats() -> None:
    writer = Kept(ll.Counter(), Told(a=np.float64(0.5), b=np.int64(2)))
    writer.epoch_end()
    ((_, scalars),) = writer.calls
    assert scalars == {"a": 0.5, "b": 2.0}
    assert {type(value) for value in scalars.values()} == {float}


def test_refuses_two_sources_of_one_tag() -> None:
    writer = Kept(ll.Counter(), [Told(a=1), Told(a=1)])
    with pytest.raises(ll.DataError, match="two sources report 'a'; set a prefix for one of them"):
        writer.epoch_end()


def test_refuses_them_at_different_moments_too_since_one_would_be_lost() -> None:
    parts = tiny()
    loops, loaders = parts.loops_acc(), parts.loaders_acc()
    sources = [ll.AccumulatorMetrics(acc, accuracy) for acc in (loops, loaders)]
    host = parts.host(loops, loaders, *sources, Kept(parts.counter, sources))

    with pytest.raises(ll.DataError, match="two sources report 'train/accuracy'"):
        host.run()


def test_a_prefix_tells_two_evaluations_apart() -> None:
    parts = tiny(num_epochs=1)
    loops, loaders = parts.loops_acc(), parts.loaders_acc()
    sources = [
        ll.AccumulatorMetrics(loops, accuracy),
        ll.AccumulatorMetrics(loaders, accuracy, prefix="final/"),
    ]
    writer = Kept(parts.counter, sources)

    parts.host(loops, loaders, *sources, writer).run()

    (first, early), (second, late) = writer.calls
    assert first == second == 6
    assert set(early) == {"train/accuracy", "val/accuracy"}
    assert set(late) == {"final/train/accuracy", "final/val/accuracy"}


def test_refuses_what_is_no_source() -> None:
    with pytest.raises(
        ll.ArgumentError, match=r"Kept: a source must have a method scalars\(\); Counter has"
    ):
        Kept(ll.Counter(), [ll.Counter()])


def test_writes_every_epoch_of_a_run_and_the_end() -> None:
    parts = tiny(num_epochs=3)
    loss = ll.TrainLoss()
    acc = parts.loaders_acc(datasets=["val"])
    final = ll.AccumulatorMetrics(acc, accuracy)
    writer = Kept(parts.counter, [loss, final])

    parts.host(writer, final, acc, loss).run()

    tags = [(step, tag) for step, scalars in writer.calls for tag in scalars]
    assert tags == [(6, "loss"), (12, "loss"), (18, "loss"), (18, "val/accuracy")]


def test_a_source_listed_twice_is_read_once() -> None:
    source = Told(a=1.0)
    writer = Kept(ll.Counter(), [source, source])
    writer.epoch_end()
    assert writer.calls == [(0, {"a": 1.0})]


def resumed(first: ll.ScalarWriter, second: ll.ScalarWriter) -> ll.ScalarWriter:
    """The second, which goes on where the first is."""
    second.load_state_dict(first.state_dict())
    return second


def test_what_was_written_at_this_step_is_not_written_again_after_a_resume() -> None:
    counter, source = ll.Counter(), Told(a=1.0)
    counter.steps = 6
    first, second = Kept(counter, source), Kept(counter, source)
    first.epoch_end()

    resumed(first, second).epoch_end()
    source.now = {"a": 1.0, "b": 2.0}
    second.train_end()
    counter.steps = 7
    second.epoch_end()

    assert second.calls == [(6, {"b": 2.0}), (7, {"a": 1.0, "b": 2.0})]


def test_a_tag_of_two_sources_is_refused_after_a_resume_too() -> None:
    counter, early, late = ll.Counter(), Told(a=1.0), Told()
    first = Kept(counter, [early, late])
    first.epoch_end()
    early.now, late.now = {}, {"a": 2.0}

    with pytest.raises(ll.DataError, match="two sources report 'a'"):
        resumed(first, Kept(counter, [early, late])).train_end()


@pytest.mark.parametrize("now", ["one more", "one less", "the other way round"])
def test_goes_on_with_other_sources(now: str) -> None:
    counter, first, second = ll.Counter(), Told(a=1.0), Told(b=2.0)
    writer = Kept(counter, [first, second])
    writer.epoch_end()
    rate = ll.LearningRateMonitor(torch.optim.SGD([torch.zeros(1)], lr=0.5))
    sources = {
        "one more": [rate, first, second],
        "one less": [second],
        "the other way round": [second, first],
    }
    first.prefix = "first"  # type: ignore[attr-defined]

    again = resumed(writer, Kept(counter, sources[now]))
    assert Kept(counter, []).state_dict().keys() == again.state_dict().keys()
    counter.steps = 1
    again.epoch_end()
    assert {"b": 2.0}.items() <= dict(again.calls)[1].items()


class Draws(Told):
    def scalars(self) -> dict[str, Any]:
        torch.rand(1)
        return super().scalars()


@pytest.mark.parametrize(("every", "steps"), [(1, range(1, 13)), (4, [4, 6, 8, 12]), (99, [6, 12])])
def test_reports_each_so_many_steps_and_each_epoch_every_tag_once(every: int, steps: Any) -> None:
    parts = tiny(num_epochs=2)
    acc = parts.loaders_acc(datasets=["val"], when="epoch_end")
    sources = [ll.TrainLoss(), ll.AccumulatorMetrics(acc, accuracy)]
    writer = Kept(parts.counter, sources, every_steps=every)

    parts.host(writer, *sources, acc).run()

    tags = [(step, tag) for step, scalars in writer.calls for tag in scalars]
    assert [step for step, tag in tags if tag == "loss"] == list(steps)
    assert [step for step, tag in tags if tag == "val/accuracy"] == [6, 12]
    assert len(set(tags)) == len(tags)
    assert acc.evaluated == 2 * 9


def test_in_mid_epoch_the_loss_is_the_mean_so_far() -> None:
    parts = tiny(num_epochs=1)
    loss = ll.TrainLoss()
    losses: list[float] = []

    class Notes:
        def batch_end(self, step: ll.Step) -> None:
            losses.append(float(step.loss) * step.size)

    writer = Kept(parts.counter, loss, every_steps=2)
    parts.host(Notes(), loss, writer).run()

    assert [step for step, _ in writer.calls] == [2, 4, 6]
    for step, scalars in writer.calls:
        assert scalars["loss"] == pytest.approx(sum(losses[:step]) / min(4 * step, 22))


def test_reading_a_source_that_draws_changes_no_weights() -> None:
    bare = tiny().trained()
    parts = tiny()
    assert parts.trained(Kept(parts.counter, Draws(a=1.0), every_steps=1)) == bare


def test_does_not_read_its_sources_between_reports() -> None:
    reads: list[int] = []

    class Counted(Told):
        def scalars(self) -> dict[str, Any]:
            reads.append(parts.counter.steps)
            return {}

    for every, expected in ((None, [6, 6]), (4, [4, 6, 6])):
        reads.clear()
        parts = tiny(num_epochs=1)
        parts.host(Kept(parts.counter, Counted(), every_steps=every)).run()
        assert reads == expected


@pytest.mark.parametrize("every", [0, -1, 1.5])
def test_refuses_a_number_of_steps_that_is_none(every: Any) -> None:
    with pytest.raises(ll.ArgumentError, match=f"every_steps is {every}; give a whole number of"):
        Kept(ll.Counter(), Told(), every_steps=every)
