from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from legoloop.core import ranks
from tests.tiny import tiny, weights


class Clock:
    """Moves on by a second whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(ranks, "monotonic", made)
    return made


@pytest.mark.parametrize("num_steps", [0, 1, 6, 8])
def test_stops_after_so_many_steps_in_mid_epoch_too(num_steps: int) -> None:
    parts = tiny(num_epochs=9)
    host = parts.host(ll.LastStep(parts.counter, num_steps))

    host.run()

    assert parts.counter.steps == num_steps
    assert host.stop_reason == f"{num_steps} steps are done"


@pytest.mark.slow
@given(st.integers(0, 70))
def test_stops_with_the_step_that_reaches_so_many_samples(num_samples: int) -> None:
    parts = tiny(num_epochs=9)
    seen = [0]

    class Sizes:
        def batch_end(self, step: ll.Step) -> None:
            seen.append(seen[-1] + step.size)

    parts.host(ll.LastSample(parts.counter, num_samples), Sizes()).run()

    assert parts.counter.samples == seen[-1] >= num_samples
    assert len(seen) == 1 or seen[-2] < num_samples


def test_the_first_limit_that_is_reached_ends_the_run() -> None:
    parts = tiny(num_epochs=1)
    host = parts.host(ll.LastStep(parts.counter, 7), ll.LastSample(parts.counter, 999))
    host.run()
    assert host.stop_reason == "1 epochs are done"


def test_stops_after_the_step_in_which_the_time_is_over(clock: Clock) -> None:
    parts = tiny(num_epochs=9)
    host = parts.host(ll.TimeLimit(seconds=4))

    host.run()

    assert parts.counter.steps == 4
    assert host.stop_reason == "4 seconds are over"


@pytest.mark.parametrize("cut", [1, 5, 8])
@pytest.mark.parametrize(
    "limit",
    [
        lambda parts: ll.LastStep(parts.counter, 9),
        lambda parts: ll.LastSample(parts.counter, 33),
        lambda parts: ll.TimeLimit(seconds=9),
    ],
    ids=["steps", "samples", "seconds"],
)
def test_a_run_cut_in_mid_epoch_ends_where_the_whole_one_does(
    limit: Any, cut: int, clock: Clock
) -> None:
    def a_run() -> tuple[Any, ll.TrainingHost]:
        parts = tiny(num_epochs=9)
        return parts, parts.host(limit(parts))

    class Cuts:
        steps = 0
        state: dict[str, Any] | None = None

        def batch_end(self, step: ll.Step) -> ll.ShouldSave | None:
            self.steps += 1
            return ll.ShouldSave(self.cut) if self.steps == cut else None

        def cut(self, state: dict[str, Any]) -> None:
            self.state = state
            raise KeyboardInterrupt

    whole, host = a_run()
    host.run()
    first, cuts = tiny(num_epochs=9), Cuts()
    with pytest.raises(KeyboardInterrupt):
        first.host(limit(first), cuts).run()
    assert cuts.state is not None
    clock.now += 1000  # what goes by before it is resumed
    second, resumed = a_run()
    resumed.load_state_dict(cuts.state)
    resumed.run()

    assert resumed.stop_reason == host.stop_reason
    assert second.counter.steps == whole.counter.steps == 9
    assert weights(second.model) == weights(whole.model)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ll.LastStep(ll.Counter(), -1), "num_steps is -1; give a whole number"),
        (lambda: ll.LastSample(ll.Counter(), 1.5), "num_samples is 1.5; give a whole number"),
        (lambda: ll.TimeLimit(0), "seconds is 0; give a number above 0"),
        (lambda: ll.TimeLimit(float("nan")), "seconds is nan; give a number above 0"),
    ],
)
def test_refuses_values_out_of_range(make: Any, message: str) -> None:
    with pytest.raises(ll.ArgumentError, match=message):
        make()
