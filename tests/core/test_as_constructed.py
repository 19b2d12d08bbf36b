from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch

from legoloop.core.as_constructed import MAX_LENGTH, describe, reconciled


class Warms:
    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __call__(self, step: int) -> float:
        return step / self.steps

    def method(self) -> None: ...


def to_the(power: float) -> Any:
    return lambda step: float(step**power)


def closes_on_nothing_yet() -> Any:
    def inner() -> Any:
        return later

    described = describe(inner)
    later = 1
    return described, later


VALUES: list[Any] = [
    0.1,
    0.2,
    1,
    None,
    "0.1",
    (0.1, 0.2),
    (0.2, 0.1),
    {"a": 1},
    {"a": 2},
    {1, 2},
    torch.ones(2),
    torch.ones(3),
    torch.ones(2, dtype=torch.float64),
    torch.ones(500),
    torch.zeros(500),
    np.zeros(2),
    np.float64(0.1),
    float("nan"),
    to_the(2.0),
    to_the(3.0),
    lambda step: 0.9,
    lambda step: 0.8,
    functools.partial(pow, 2),
    functools.partial(pow, 3),
    Warms(1),
    Warms(2),
    Warms,
    Warms(1).method,
    list(range(1000)),
    list(range(1001)),
]


def test_what_differs_is_described_otherwise() -> None:
    described = [describe(value) for value in VALUES]
    assert len(set(described)) == len(VALUES)
    assert all(len(text) <= MAX_LENGTH for text in described)


@pytest.mark.parametrize(
    "make",
    [
        lambda: to_the(2.0),
        lambda: Warms(3),
        lambda: torch.arange(9.0),
        lambda: [float("nan"), {"b", "a"}],
        lambda: functools.partial(to_the, power=2),
        object,
        lambda: np.array([object()]),
        lambda: torch.eye(3).to_sparse(),
    ],
)
def test_what_is_alike_is_described_alike(make: Any) -> None:
    assert describe(make()) == describe(make())


def test_a_cycle_and_what_is_not_there_yet_are_described() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    assert describe(cycle)
    assert closes_on_nothing_yet()[0]


def test_a_saved_value_counts_where_both_were_constructed_alike() -> None:
    saved = {"alike": 1, "other": 2, "gone": 3, "added_later": 4}
    then = {"alike": "a", "other": "b", "gone": "c"}
    now = {"alike": "a", "other": "d", "new": "e"}
    current = {"alike": 5, "other": 6, "new": 7}
    assert reconciled(saved, then, now, current) == {
        "alike": 1,
        "other": 6,
        "new": 7,
        "added_later": 4,
    }
