from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legoloop.output.scalars.throttle import Throttle


class Clock:
    """Stands still but for what a test lets pass."""

    now = 100.0

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr("time.monotonic", lambda: self.now)


@given(
    fraction=st.sampled_from([0.002, 0.01, 0.5, 1.0]),
    seconds=st.floats(1e-3, 1.0),
    pause=st.floats(1e-3, 1.0),
)
def test_output_takes_no_more_than_its_fraction(
    fraction: float, seconds: float, pause: float
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock(patch)
        throttle, written = Throttle(fraction), 0.0
        for _ in range(500):
            clock.now += pause
            if throttle.is_due():
                with throttle.timed():
                    clock.now += seconds
                written += seconds
    assert 0 < written <= seconds + fraction * (clock.now - Clock.now) * 1.001


def test_waits_for_the_interval_before_the_first_output_and_between_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    throttle = Throttle(1.0, min_interval=10.0)
    due = []
    for clock.now in (100.0, 109.0, 110.0, 119.0, 120.0):
        due.append(throttle.is_due())
        if due[-1]:
            with throttle.timed():
                pass
    assert due == [False, False, True, False, True]


def test_output_that_fails_is_due_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    throttle = Throttle(0.01)
    with pytest.raises(OSError, match="full"), throttle.timed():
        raise OSError("full")
    assert throttle.is_due()
