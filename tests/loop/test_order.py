from __future__ import annotations

from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legoloop.core.errors import PluginError
from legoloop.loop.order import in_order


@st.composite
def names_and_edges(draw, acyclic):
    names = [f"p{number}" for number in range(draw(st.integers(1, 7)))]
    pairs = draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=10))
    if acyclic:
        hidden = draw(st.permutations(names))
        pairs = [(a, b) for a, b in pairs if hidden.index(a) < hidden.index(b)]
    return names, pairs


def allowed(order, edges):
    return all(order.index(a) <= order.index(b) for a, b in edges)


@given(names_and_edges(acyclic=True))
def test_every_edge_is_respected_and_every_name_is_there_once(drawn):
    names, edges = drawn
    order = in_order(names, edges)
    assert sorted(order) == sorted(names)
    assert allowed(order, edges)


@given(names_and_edges(acyclic=True))
def test_among_the_allowed_orders_it_is_the_one_nearest_to_the_given(drawn):
    names, edges = drawn
    first = next(order for order in permutations(names) if allowed(order, edges))
    assert in_order(names, edges) == list(first)


@given(names_and_edges(acyclic=False))
def test_it_raises_exactly_when_no_order_is_allowed(drawn):
    names, edges = drawn
    if any(allowed(order, edges) for order in permutations(names)):
        assert allowed(in_order(names, edges), edges)
    else:
        with pytest.raises(PluginError, match="plugins wait for each other: "):
            in_order(names, edges)


@given(names_and_edges(acyclic=False))
def test_the_cycle_in_the_message_is_one(drawn):
    names, edges = drawn
    try:
        in_order(names, edges)
    except PluginError as error:
        told = str(error).removeprefix("plugins wait for each other: ").split(";")[0]
        cycle = told.split(" after ")
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        assert all((earlier, later) in edges for later, earlier in pairwise(cycle))


def test_a_name_before_itself_is_no_cycle():
    assert in_order(["a"], [("a", "a")]) == ["a"]
