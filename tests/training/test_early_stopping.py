from __future__ import annotations

from itertools import pairwise
from math import inf, nan
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from tests.tiny import accuracy, tiny


class Told:
    """A source that tells the given values, one an epoch."""

    def __init__(self, *values: float) -> None:
        self.values = iter(values)

    def scalars(self) -> dict[str, float]:
        return {"val/loss": next(self.values)}


def epochs_until_stop(*values: float, **given: Any) -> int | None:
    stopping = ll.EarlyStopping(Told(*values), "val/loss", **given)
    for number, _ in enumerate(values, 1):
        if stopping.epoch_end() is not None:
            return number
    return None


def test_stops_after_patience_epochs_that_were_no_better() -> None:
    assert epochs_until_stop(3, 2, 2, 2.5, 1, patience=2) == 4
    assert epochs_until_stop(3, 2, 2, 1, 1, 0, patience=2) is None


def test_mode_says_which_way_is_better() -> None:
    assert epochs_until_stop(1, 2, 3, 3, patience=1, mode="max") == 4
    assert epochs_until_stop(1, 2, patience=1, mode="min") == 2


def test_a_change_of_min_delta_does_not_count_but_a_larger_one_does() -> None:
    assert epochs_until_stop(4.0, 3.5, patience=1, min_delta=0.5) == 2
    assert epochs_until_stop(4.0, 3.25, patience=1, min_delta=0.5) is None


def test_small_steps_count_once_they_add_up() -> None:
    assert epochs_until_stop(4.0, 3.75, 3.25, patience=2, min_delta=0.5) is None


@pytest.mark.parametrize("mode", ["min", "max"])
def test_not_a_number_is_never_better(mode: str) -> None:
    assert epochs_until_stop(1, nan, nan, patience=2, mode=mode) == 3
    assert epochs_until_stop(nan, 1, nan, patience=2, mode=mode) is None
    assert epochs_until_stop(nan, nan, patience=2, mode=mode) == 2


def test_infinity_is_a_start_that_a_number_betters() -> None:
    assert epochs_until_stop(inf, 5.0, inf, patience=2) is None


def test_says_why_it_stops() -> None:
    stopping = ll.EarlyStopping(Told(nan), "val/loss", patience=1)
    assert stopping.epoch_end() == ll.ShouldStop("val/loss was not a number for 1 epochs")


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=15), st.integers(1, 4))
def test_min_of_values_is_max_of_their_negatives(values: list[int], patience: int) -> None:
    falling = epochs_until_stop(*values, patience=patience, mode="min")
    assert falling == epochs_until_stop(*(-v for v in values), patience=patience, mode="max")


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=15, unique=True))
def test_never_stops_while_every_epoch_is_better(values: list[int]) -> None:
    falling = sorted(values, reverse=True)
    assert all(later < earlier for earlier, later in pairwise(falling))
    assert epochs_until_stop(*falling, patience=1) is None


def test_waits_on_from_its_state() -> None:
    first = ll.EarlyStopping(Told(1, 2), "val/loss", patience=2)
    first.epoch_end(), first.epoch_end()
    second = ll.EarlyStopping(Told(2), "val/loss", patience=2)
    second.load_state_dict(first.state_dict())
    assert second.epoch_end() == ll.ShouldStop("val/loss has not fallen below 1 for 2 epochs")


def test_names_the_scalar_that_was_meant() -> None:
    stopping = ll.EarlyStopping(Told(1), "val/los")
    with pytest.raises(ll.ArgumentError, match=r"monitors 'val/los'.*did you mean val/loss\?"):
        stopping.epoch_end()


def test_looks_through_several_sources() -> None:
    opt = torch.optim.SGD([torch.zeros(1)], lr=0.5)
    stopping = ll.EarlyStopping([Told(1, 2, 3), ll.LearningRateMonitor(opt)], "lr", patience=1)
    assert stopping.epoch_end() is None
    assert stopping.epoch_end() == ll.ShouldStop("lr has not fallen below 0.5 for 1 epochs")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mode": "most"}, "mode is 'most'; give 'min' or 'max'"),
        ({"patience": 0}, "patience is 0; give a whole number of at least 1"),
        ({"min_delta": -0.1}, "min_delta is -0.1; give 0 or more"),
    ],
)
def test_refuses_values_out_of_range(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ll.ArgumentError, match=message):
        ll.EarlyStopping(Told(), "val/loss", **wrong)


def test_ends_a_run() -> None:
    parts = tiny(num_epochs=50)
    acc = parts.loops_acc(datasets=["val"])
    metrics = ll.AccumulatorMetrics(acc, accuracy)
    stopping = ll.EarlyStopping(metrics, "val/accuracy", patience=2, mode="max", min_delta=1.0)
    host = parts.host(stopping, metrics, acc)

    host.run()

    assert parts.counter.epochs == 3
    assert "val/accuracy has not risen above" in (host.stop_reason or "")


def test_more_of_an_accuracy_is_better_unless_told() -> None:
    class Rising:
        value = 0.0

        def scalars(self) -> dict[str, float]:
            self.value += 0.1
            return {"val/accuracy": self.value}

    stopping = ll.EarlyStopping(Rising(), "val/accuracy", patience=1)
    assert [stopping.epoch_end() for _ in range(3)] == [None] * 3
