"""What every function of metrics that ships keeps to: it is over samples, and only looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from legoloop.evaluation import metrics
from tests.bricks import bricks

Arrays = dict[str, Any]


def of_two_classes(draws: np.random.Generator, samples: int) -> Arrays:
    return {"logits": draws.normal(size=samples), "target": draws.integers(2, size=samples)}


def of_classes(draws: np.random.Generator, samples: int) -> Arrays:
    return {"logits": draws.normal(size=(samples, 3)), "target": draws.integers(3, size=samples)}


def of_numbers(draws: np.random.Generator, samples: int) -> Arrays:
    return {"prediction": draws.normal(size=samples), "target": draws.normal(size=samples)}


def with_numbers(draws: np.random.Generator, samples: int) -> Arrays:
    return {**of_classes(draws, samples), "mine": draws.normal(size=samples).mean()}


MADE: dict[Any, Callable[[np.random.Generator, int], Arrays]] = {
    metrics.binary: of_two_classes,
    metrics.evaluated: with_numbers,
    metrics.multiclass: of_classes,
    metrics.regression: of_numbers,
}
every_method = pytest.mark.parametrize("method", MADE, ids=lambda method: method.__name__)
any_samples = {"samples": st.integers(1, 30), "seed": st.integers(0, 2**30)}


def collected(method: Any, samples: int, seed: int) -> Arrays:
    return MADE[method](np.random.default_rng(seed), samples)


def test_none_is_missing_here() -> None:
    assert {brick.thing for brick in bricks() if ".metrics." in brick.target} == set(MADE)


@every_method
@given(**any_samples)
def test_does_not_depend_on_the_order_of_the_samples(method: Any, samples: int, seed: int) -> None:
    arrays = collected(method, samples, seed)
    order = np.random.default_rng(seed).permutation(samples)
    mixed = method({name: array[order] if array.ndim else array for name, array in arrays.items()})
    assert mixed == pytest.approx(method(arrays), nan_ok=True)


@every_method
@given(**any_samples)
def test_gives_plain_numbers_of_arrays_that_may_only_be_read(
    method: Any, samples: int, seed: int
) -> None:
    arrays = collected(method, samples, seed)
    for array in arrays.values():
        array.setflags(write=False)
    assert {type(value) for value in method(arrays).values()} == {float}


@pytest.mark.parametrize("method", [method for method in MADE if method is not metrics.evaluated])
def test_names_the_column_that_nobody_collects(method: Any) -> None:
    arrays = collected(method, 5, seed=0)
    for missing in arrays:
        rest = {name: array for name, array in arrays.items() if name != missing}
        with pytest.raises(ll.DataError, match=f"the metrics need '{missing}', which no accumul"):
            method(rest)
