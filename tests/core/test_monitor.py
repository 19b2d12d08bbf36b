from __future__ import annotations

from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from legoloop.core.monitor import is_improvement, is_maximized, latest_scalar
from tests.told import Told


def test_finds_a_scalar_among_several_sources() -> None:
    assert latest_scalar([Told(loss=1), Told(lr=2)], "lr", requester="nobody") == 2.0


def test_names_the_scalar_that_was_meant() -> None:
    with pytest.raises(
        ll.ArgumentError,
        match=r"nobody monitors 'los', which no source reports; did you mean loss\?",
    ):
        latest_scalar([Told(loss=1), Told(lr=2)], "los", requester="nobody")


def test_says_so_where_the_direction_is_not_known() -> None:
    with pytest.raises(ll.ArgumentError, match="the direction of 'lr' is not known"):
        is_maximized("lr", None)
    with pytest.raises(ll.ArgumentError, match="mode is 'most'; there are min, max"):
        is_maximized("loss", "most")


numbers = st.floats(-5, 5)


@given(numbers, numbers, st.floats(0, 1))
def test_never_both_ways_and_never_by_less_than_the_change(
    value: float, best: float, min_delta: float
) -> None:
    higher = is_improvement(value, best, higher=True, min_delta=min_delta)
    lower = is_improvement(value, best, higher=False, min_delta=min_delta)
    assert (higher, lower) == (value - best > min_delta, best - value > min_delta)


def test_not_a_number_is_never_better() -> None:
    assert not is_improvement(nan, None, higher=True)
    assert not is_improvement(nan, 1.0, higher=False)
    assert is_improvement(1.0, None, higher=True)
