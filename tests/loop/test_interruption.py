from __future__ import annotations

import pytest

from legoloop.loop.interruption import Interruption

SIGNAL = KeyboardInterrupt("SIGTERM")


def test_is_raised_at_once_where_nothing_defers_it():
    interruption = Interruption()
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        interruption.request(SIGNAL)
    assert interruption.pending is SIGNAL


def test_is_raised_at_the_end_of_the_outermost_block_that_defers_it():
    interruption, done = Interruption(), []

    def work():
        with interruption.deferring():
            with interruption.deferring():
                interruption.request(SIGNAL)
                done.append("inner")
            done.append("outer")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["inner", "outer"]


def test_is_raised_at_once_again_after_a_block_that_failed():
    interruption = Interruption()
    with pytest.raises(RuntimeError), interruption.deferring():
        raise RuntimeError
    with pytest.raises(KeyboardInterrupt):
        interruption.request(SIGNAL)


def test_an_error_that_follows_is_that_interruption_and_any_other_is_left_alone():
    interruption = Interruption()
    with pytest.raises(RuntimeError), interruption.replacing_errors():
        raise RuntimeError
    with pytest.raises(KeyboardInterrupt), interruption.deferring():
        interruption.request(SIGNAL)
    with pytest.raises(KeyboardInterrupt) as ended, interruption.replacing_errors():
        raise RuntimeError
    assert ended.value is SIGNAL
    assert isinstance(ended.value.__cause__, RuntimeError)
