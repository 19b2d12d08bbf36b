"""What every public accumulator keeps to."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll


def summed_by_torchmetrics() -> ll.MetricAccumulator:
    from torchmetrics import SumMetric  # takes seconds to import, in each worker

    return ll.MetricAccumulator(SumMetric(nan_strategy=0.0), inputs={"value": "x"})


MADE: dict[type, Callable[[], Any]] = {
    ll.NumpyAccumulator: ll.NumpyAccumulator,
    ll.ListAccumulator: ll.ListAccumulator,
    ll.CompositeAccumulator: lambda: ll.CompositeAccumulator(
        x=ll.NumpyAccumulator(), y=ll.ListAccumulator()
    ),
    ll.UnionAccumulator: lambda: ll.UnionAccumulator(
        ll.CompositeAccumulator(x=ll.NumpyAccumulator()),
        ll.CompositeAccumulator(y=ll.NumpyAccumulator()),
    ),
    ll.MeanLoss: lambda: ll.MeanLoss(lambda batch, outputs: batch["x"] * 2.0),
    ll.MetricAccumulator: summed_by_torchmetrics,
}
every_accumulator = pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)
batches = st.lists(st.lists(st.integers(-9, 9), min_size=1, max_size=4), min_size=1, max_size=6)


def added(accumulator: Any, values: list[int]) -> None:
    column = torch.tensor(values)
    columns = (ll.NumpyAccumulator, ll.ListAccumulator)
    named = not isinstance(accumulator, columns)
    accumulator.add({"x": column, "y": -column} if named else column)


def plain(result: Any) -> Any:
    """The result as lists, or a number that is not one as a text."""
    if isinstance(result, dict):
        return {name: plain(inside) for name, inside in result.items()}
    if isinstance(result, float):
        return repr(result)
    return [int(value) for value in result]


def test_none_is_missing_here() -> None:
    public = [getattr(ll, name) for name in ll.__all__]
    accumulators = {
        kind for kind in public if isinstance(kind, type) and issubclass(kind, ll.Accumulator)
    }
    assert accumulators - {ll.Accumulator} == set(MADE)


@every_accumulator
@given(given_batches=batches)
def test_does_not_depend_on_how_the_samples_were_batched(
    kind: type, given_batches: list[list[int]]
) -> None:
    batched, at_once = MADE[kind](), MADE[kind]()
    for batch in given_batches:
        added(batched, batch)
    added(at_once, list(chain.from_iterable(given_batches)))

    assert plain(batched.result()) == plain(at_once.result())


@every_accumulator
@given(given_batches=batches)
def test_may_be_asked_at_any_time_without_changing(
    kind: type, given_batches: list[list[int]]
) -> None:
    asked, left_alone = MADE[kind](), MADE[kind]()
    for batch in given_batches:
        added(asked, batch), added(left_alone, batch)
        assert plain(asked.result()) == plain(asked.result())

    assert plain(asked.result()) == plain(left_alone.result())


@every_accumulator
def test_a_result_stays_as_it_was_handed_out(kind: type) -> None:
    accumulator = MADE[kind]()
    added(accumulator, [1, 2])
    first = accumulator.result()
    before = plain(first)

    added(accumulator, [3] * 100)

    assert plain(first) == before


def holding(kind: type, given_batches: list[list[int]]) -> Any:
    accumulator = MADE[kind]()
    for batch in given_batches:
        added(accumulator, batch)
    return accumulator


maybe_no_batches = st.lists(st.lists(st.integers(-9, 9), max_size=4), max_size=4)


@every_accumulator
@given(first=batches, second=batches)
def test_merging_two_is_accumulating_in_one_go_and_changes_neither(
    kind: type, first: list[list[int]], second: list[list[int]]
) -> None:
    left, right = holding(kind, first), holding(kind, second)
    merged = left.merge(right)

    assert plain(merged.result()) == plain(holding(kind, first + second).result())
    assert plain(left.result()) == plain(holding(kind, first).result())
    assert plain(right.result()) == plain(holding(kind, second).result())

    added(merged, [7])
    added(left, [8])
    assert plain(merged.result()) == plain(holding(kind, [*first, *second, [7]]).result())
    assert plain(left.result()) == plain(holding(kind, [*first, [8]]).result())


@every_accumulator
@given(first=maybe_no_batches, second=maybe_no_batches, third=maybe_no_batches)
def test_merging_is_associative(
    kind: type, first: list[list[int]], second: list[list[int]], third: list[list[int]]
) -> None:
    a, b, c = (holding(kind, given_batches) for given_batches in (first, second, third))

    expected = plain(holding(kind, first + second + third).result())
    assert plain(a.merge(b).merge(c).result()) == expected
    assert plain(a.merge(b.merge(c)).result()) == expected
