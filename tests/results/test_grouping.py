from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from legoloop.results.grouping import Spread, group_runs
from legoloop.results.reading import read_runs
from tests.results.made_runs import lr_and_seed, made_run, made_sweep


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=9))
def test_a_spread_is_mean_and_sample_deviation(values: list[float]) -> None:
    spread = Spread.of(values)
    assert spread.n == len(values)
    assert spread.mean == pytest.approx(np.mean(values), rel=1e-9, abs=1e-6)
    assert spread.std == pytest.approx(np.std(values, ddof=1), rel=1e-6, abs=1e-6)


def test_one_value_has_no_deviation() -> None:
    assert Spread.of([0.5]) == Spread(0.5, None, 1)


def test_a_value_that_is_no_number_is_not_hidden() -> None:
    assert np.isnan(Spread.of([0.5, float("nan")]).mean)


def test_groups_share_what_is_asked_for(tmp_path: Path) -> None:
    groups = group_runs(read_runs(made_sweep(tmp_path)).runs, ["optimizer.lr"])
    assert [group.value("optimizer.lr") for group in groups] == [0.1, 0.01]
    assert [[run.name for run in group.runs] for group in groups] == [list("012"), list("345")]
    assert groups[0].value("val/accuracy") == pytest.approx(0.1 + 1 / 16)
    assert groups[0].spread("best val/accuracy") == Spread(
        pytest.approx(0.35 + 1 / 16), pytest.approx(1 / 16), 3
    )


def test_only_completed_runs_count(tmp_path: Path) -> None:
    for seed, status in enumerate(["COMPLETED", "FAILED", "INTERRUPTED", "RUNNING", "COMPLETED"]):
        final = {"loss": float(seed)}
        made_run(tmp_path, str(seed), lr_and_seed(0.1, seed), final, status=status)
    (group,) = group_runs(read_runs(tmp_path).runs, ["optimizer.lr"])
    assert (group.n, group.not_completed, group.value("loss")) == (2, 3, 2.0)


def test_lists_can_be_grouped_by_and_a_metric_that_nobody_has_is_nothing(tmp_path: Path) -> None:
    (group,) = group_runs(read_runs(made_sweep(tmp_path)).runs, ["optimizer.betas", "status"])
    assert group.values == {"optimizer.betas": [0.9, 0.99], "status": "COMPLETED"}
    assert group.value("none") is None


@given(st.lists(st.floats() | st.integers(), min_size=1, max_size=5))
def test_any_numbers_have_a_spread(values: list[float]) -> None:
    assert Spread.of(values).n == len(values)


@pytest.mark.parametrize(
    ("values", "mean", "std"),
    [
        ([1e308, 1e308], 1e308, 0.0),
        ([1e308, -1e308], 0.0, 2**0.5 * 1e308),
        ([math.inf, math.inf], math.inf, math.nan),
        ([math.inf, -math.inf], math.nan, math.nan),
    ],
)
def test_values_that_a_float_hardly_holds(values: list[float], mean: float, std: float) -> None:
    spread = Spread.of(values)
    assert (spread.mean, spread.std) == pytest.approx((mean, std), nan_ok=True)


def test_a_key_of_the_configuration_may_have_the_name_of_a_metric(tmp_path: Path) -> None:
    made_run(tmp_path, "0", {"seed": 0, "loss": "mse"}, {"loss": 0.5})
    made_run(tmp_path, "1", {"seed": 0, "loss": 10**400}, {"loss": 0.5})
    (group,) = group_runs(read_runs(tmp_path).runs, ["seed"])
    assert group.spread("loss") == Spread(math.inf, None, 1)
