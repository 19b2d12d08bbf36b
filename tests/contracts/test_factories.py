"""What every public factory of accumulators keeps to: a fresh one for each evaluation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

import legoloop as ll

MADE: dict[str, Callable[[], Callable[[], Any]]] = {
    "CompositeFactory": lambda: ll.CompositeFactory(x=ll.NumpyAccumulator, y=ll.ListAccumulator),
    "a factory of factories": lambda: ll.CompositeFactory(
        x=ll.NumpyAccumulator, y=partial(ll.ListAccumulator)
    ),
}
every_factory = pytest.mark.parametrize("kind", MADE)


def test_none_is_missing_here() -> None:
    assert {name for name in ll.__all__ if name.endswith("Factory")} <= set(MADE)


@every_factory
def test_what_one_evaluation_collects_no_other_has(kind: str) -> None:
    factory = MADE[kind]()
    first, second = factory(), factory()
    first.add({"x": torch.tensor([1, 2]), "y": ["a", "b"]})
    second.add({"x": torch.tensor([3]), "y": ["c"]})
    assert [len(first.result()[name]) for name in "xy"] == [2, 2]
    assert [len(second.result()[name]) for name in "xy"] == [1, 1]
    third = factory()
    third.add({"x": torch.tensor([4]), "y": ["d"]})
    assert third.result()["y"] == ["d"]


@every_factory
def test_names_what_neither_the_batch_nor_the_model_has(kind: str) -> None:
    with pytest.raises(ll.DataError, match="'y'"):
        MADE[kind]()().add({"x": torch.tensor([1])})
