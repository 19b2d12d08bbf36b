from __future__ import annotations

from math import isnan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, softmax
from sklearn import metrics as sk

import legoloop as ll
from legoloop.evaluation.metrics import binary, multiclass, regression


def close(left: dict[str, float], right: dict[str, float]) -> None:
    assert left == pytest.approx(right, rel=1e-6, abs=1e-9, nan_ok=True)
    assert {type(value) for value in left.values()} == {float}


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(2, 5))
def test_multiclass_as_scikit_learn_has_it(seed: int, samples: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(samples, classes)).astype(np.float32) * 3
    target = rng.integers(classes, size=samples)

    predicted = logits.argmax(1)
    close(
        dict(multiclass({"logits": logits, "target": target})),
        {
            "accuracy": sk.accuracy_score(target, predicted),
            "f1": sk.f1_score(target, predicted, average="macro", zero_division=0),
            "loss": sk.log_loss(
                target, softmax(logits.astype(float), axis=1), labels=range(classes)
            ),
        },
    )


@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_binary_as_scikit_learn_has_it(seed: int, samples: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=samples).astype(np.float32) * 3
    target = np.arange(samples) % 2

    predicted = (logits > 0).astype(int)
    close(
        dict(binary({"logits": logits[:, None], "target": target.astype(np.float32)})),
        {
            "accuracy": sk.accuracy_score(target, predicted),
            "f1": sk.f1_score(target, predicted, zero_division=0),
            "auc": sk.roc_auc_score(target, logits),
            "loss": sk.log_loss(target, expit(logits.astype(float))),
        },
    )


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(1, 3))
def test_regression_as_scikit_learn_has_it(seed: int, samples: int, outputs: int) -> None:
    rng = np.random.default_rng(seed)
    prediction, target = rng.normal(size=(2, samples, outputs)).astype(np.float32)
    close(
        dict(regression({"prediction": prediction, "target": target})),
        {
            "mae": sk.mean_absolute_error(target, prediction),
            "rmse": sk.root_mean_squared_error(target, prediction),
            "r2": sk.r2_score(target.astype(float), prediction.astype(float)),
        },
    )


def test_a_single_sample() -> None:
    assert multiclass({"logits": np.array([[1.0, 0.0]]), "target": np.array([0])})["accuracy"] == 1
    alone = binary({"logits": np.array([1.0]), "target": np.array([1])})
    assert alone["accuracy"] == alone["f1"] == 1
    assert isnan(alone["auc"])
    single = regression({"prediction": np.array([1.0]), "target": np.array([3.0])})
    assert (single["mae"], single["rmse"], isnan(single["r2"])) == (2, 2, True)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_only_has_no_area(label: int) -> None:
    measured = binary({"logits": np.array([-1.0, 2.0]), "target": np.full(2, label)})
    assert isnan(measured["auc"])
    assert measured["accuracy"] == 0.5


def test_extreme_logits_have_a_finite_loss() -> None:
    big = np.array([-1e4, 1e4], dtype=np.float32)
    assert binary({"logits": big, "target": np.array([0, 1])})["loss"] == 0
    assert binary({"logits": big, "target": np.array([1, 0])})["loss"] == 1e4
    both = {"logits": np.stack([big, big]), "target": np.array([1, 0])}
    assert multiclass(both)["loss"] == 1e4


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_model_gone_astray_is_measured_as_not_a_number(wrong: float) -> None:
    measured = binary({"logits": np.array([wrong, 1.0]), "target": np.array([0, 1])})
    assert isnan(measured["auc"])
    assert not np.isfinite(measured["loss"]) or wrong == -np.inf

    wrong_row = np.array([[wrong, wrong], [0.0, 1.0]])
    assert isnan(multiclass({"logits": wrong_row, "target": np.array([0, 1])})["loss"])

    targets = np.array([1.0, 2.0])
    astray = regression({"prediction": np.array([wrong, 1.0]), "target": targets})
    assert all(isnan(value) for value in astray.values())


@pytest.mark.parametrize(
    ("method", "has", "missing"),
    [
        (multiclass, "target", "logits"),
        (binary, "logits", "target"),
        (regression, "target", "prediction"),
    ],
)
def test_names_the_array_that_nobody_collects(method: Any, has: str, missing: str) -> None:
    with pytest.raises(ll.DataError, match=f"the metrics need '{missing}.*there are {has}"):
        method({has: np.zeros(1)})


@pytest.mark.parametrize("target", [np.array([[0], [1], [1]]), np.array([False, True, True])])
def test_classes_may_be_a_column_or_yes_and_no(target: Any) -> None:
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
    expected = multiclass({"logits": logits, "target": np.array([0, 1, 1])})
    assert multiclass({"logits": logits, "target": target}) == expected


@pytest.mark.parametrize("target", [[0, -1, 1], [0, 2, 1]])
def test_a_target_that_is_no_class_is_refused(target: list[int]) -> None:
    with pytest.raises(ll.DataError, match="classes are 0 to 1"):
        multiclass({"logits": np.zeros((3, 2)), "target": np.array(target)})
