from __future__ import annotations

import sys
from math import isnan, log
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax
from sklearn import metrics as sk

import legoloop as ll
from legoloop.evaluation.metrics import binary, multiclass, regression


def equal(left: Any, right: dict[str, float]) -> None:
    """To the last bit; nan equals nan."""
    assert {name: repr(value) for name, value in left.items()} == {
        name: repr(float(value)) for name, value in right.items()
    }


def multiclass_of_sklearn(logits: Any, target: Any) -> dict[str, float]:
    predicted = logits.argmax(1)
    log_probabilities = log_softmax(logits.astype(np.float64), axis=1)
    return {
        "accuracy": sk.accuracy_score(target, predicted),
        "f1": sk.f1_score(target, predicted, average="macro", zero_division=0),
        "loss": -log_probabilities[np.arange(len(target)), target].mean(),
    }


def binary_of_sklearn(logits: Any, target: Any) -> dict[str, float]:
    predicted, has_area = (logits > 0).astype(int), len(np.unique(target)) == 2
    return {
        "accuracy": sk.accuracy_score(target, predicted),
        "f1": sk.f1_score(target, predicted, zero_division=0),
        "auc": sk.roc_auc_score(target, logits.astype(float)) if has_area else float("nan"),
        "loss": (np.logaddexp(0, logits.astype(float)) - logits.astype(float) * target).mean(),
    }


SEEDS = st.integers(0, 2**32 - 1)
DTYPES = st.sampled_from([np.float16, np.float32, np.float64])


def draw_logits(rng: Any, shape: tuple[int, ...], dtype: Any, is_tied: bool) -> Any:
    drawn = rng.normal(size=shape) * 3
    return (drawn.round() if is_tied else drawn).astype(dtype)


@given(SEEDS, st.integers(1, 200), st.integers(2, 40), DTYPES, st.booleans())
def test_multiclass_is_that_of_scikit_learn_to_the_last_bit(
    seed: int, samples: int, classes: int, dtype: Any, is_tied: bool
) -> None:
    rng = np.random.default_rng(seed)
    logits = draw_logits(rng, (samples, classes), dtype, is_tied)
    # Often fewer classes than there are: some are never predicted, some no target, some neither.
    target = rng.integers(rng.integers(1, classes + 1), size=samples)
    equal(multiclass({"logits": logits, "target": target}), multiclass_of_sklearn(logits, target))


@given(SEEDS, st.integers(1, 200), DTYPES, st.booleans(), st.floats(0, 1))
def test_binary_is_that_of_scikit_learn_to_the_last_bit(
    seed: int, samples: int, dtype: Any, is_tied: bool, share: float
) -> None:
    rng = np.random.default_rng(seed)
    logits = draw_logits(rng, (samples,), dtype, is_tied)
    target = (rng.random(samples) < share).astype(int)
    for given_as in (np.int64, np.uint8, bool, np.float32):
        accumulated = {"logits": logits[:, None], "target": target.astype(given_as)}
        equal(binary(accumulated), binary_of_sklearn(logits, target))


@given(SEEDS, st.integers(2, 200), st.integers(1, 3), st.booleans())
def test_regression_is_that_of_scikit_learn_to_the_last_bit(
    seed: int, samples: int, outputs: int, is_constant: bool
) -> None:
    rng = np.random.default_rng(seed)
    prediction, target = rng.normal(size=(2, samples, outputs)).astype(np.float32)
    if is_constant:
        target[:, 0] = 2.0
        prediction[:, 0] = 2.0 if seed % 2 else prediction[:, 0]
    expected = {
        "mae": sk.mean_absolute_error(target, prediction.astype(float)),
        "rmse": sk.root_mean_squared_error(target.astype(float), prediction.astype(float)),
        "r2": sk.r2_score(target.astype(float), prediction.astype(float)),
    }
    equal(regression({"prediction": prediction, "target": target}), expected)
    if outputs == 1:
        flat = {"prediction": prediction[:, 0], "target": target}
        assert dict(regression(flat)) == pytest.approx(expected)


@pytest.mark.parametrize("method", [multiclass, binary, regression])
def test_neither_scikit_learn_nor_scipy_is_imported(
    method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sklearn", "sklearn.metrics", "scipy", "scipy.special"):
        monkeypatch.setitem(sys.modules, name, None)
    logits = np.eye(2) if method is multiclass else np.array([1.0, -1.0])
    assert method({"logits": logits, "prediction": logits, "target": np.array([0, 1])})


def test_a_class_whose_number_is_large_costs_no_square_of_it() -> None:
    logits = np.zeros((2, 100_000), np.float32)
    assert multiclass({"logits": logits, "target": np.array([0, 99_999])})["f1"] == 1 / 3


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


LOGITS = np.array([2.0, -1.0, 0.5, -3.0])


def test_soft_targets_of_two_classes_are_probabilities() -> None:
    soft = np.array([0.9, 0.1, 0.4, 0.5], np.float32)
    measured = binary({"logits": LOGITS, "target": soft})
    shares = soft.astype(np.float64)
    assert measured["loss"] == (np.logaddexp(0, LOGITS) - LOGITS * shares).mean()
    hard = binary({"logits": LOGITS, "target": np.array([1, 0, 0, 0])})
    assert {name: measured[name] for name in ("accuracy", "f1", "auc")} == {
        name: hard[name] for name in ("accuracy", "f1", "auc")
    }


def test_a_soft_target_is_not_cut_to_a_class() -> None:
    certain = {"logits": np.full(4, log(9.0)), "target": np.full(4, 0.9)}
    entropy = -(0.9 * log(0.9) + 0.1 * log(0.1))
    assert binary(certain)["loss"] == pytest.approx(entropy)
    assert binary(certain)["accuracy"] == 1


@pytest.mark.parametrize(
    "target", [[1, 2, 1, 2], [-1, 1, -1, 1], [0, 1, 2, 1], [0.5, np.nan, 0, 1]]
)
def test_labels_of_two_classes_other_than_0_and_1_are_refused(target: list[float]) -> None:
    with pytest.raises(ll.DataError, match="with one logit per sample it is 0 or 1, or the prob"):
        binary({"logits": LOGITS, "target": np.array(target)})


def test_soft_targets_of_several_classes_are_probabilities() -> None:
    logits = np.array([[2.0, 0.0, 1.0], [0.0, 2.0, 0.0]])
    soft = np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]])
    measured = multiclass({"logits": logits, "target": soft})
    hard = multiclass({"logits": logits, "target": np.array([0, 2])})
    assert (measured["accuracy"], measured["f1"]) == (hard["accuracy"], hard["f1"])
    expected = torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(soft))
    assert measured["loss"] == pytest.approx(expected.item())
    one_hot = np.eye(3)[[0, 2]]
    assert multiclass({"logits": logits, "target": one_hot}) == pytest.approx(hard)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (np.array([0.9, 0.1]), "values from 0.1 to 0.9; classes are 0 to 2, whole numbers"),
        (np.array([0.0, np.nan]), "classes are 0 to 2, whole numbers"),
        (np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), "rows are no probabilities that sum to 1"),
        (np.array([[2.0, -1.0, 0.0], [0.0, 0.0, 1.0]]), "rows are no probabilities that sum to 1"),
        (
            np.array([[1, 0, 0], [0, 0, 1]]),
            r"shape \(2, 3\) and the logits \(2, 3\); give one class",
        ),
        (np.array([0, 1, 2]), r"shape \(3,\) and the logits \(2, 3\)"),
        (np.array(["a", "b"]), "is of type <U1; classes are numbers"),
        (np.array(["a", "b"], object), "is of type object; classes are numbers"),
    ],
)
def test_a_target_that_names_no_class_is_refused(target: Any, told: str) -> None:
    with pytest.raises(ll.DataError, match=told):
        multiclass({"logits": np.zeros((2, 3)), "target": target})


@pytest.mark.parametrize(
    ("method", "accumulated", "told"),
    [
        (multiclass, {"logits": np.zeros(4), "target": np.zeros(4)}, r"logits of shape \(4,\)"),
        (multiclass, {"logits": np.zeros((4, 1)), "target": np.zeros(4)}, r"shape \(4, 1\)"),
        (binary, {"logits": np.zeros((4, 2)), "target": np.zeros(4)}, "one logit and one target"),
        (
            regression,
            {"prediction": np.zeros((4, 2)), "target": np.zeros(4)},
            r"'prediction' of shape \(4, 2\) and 'target' of shape \(4,\)",
        ),
        (
            regression,
            {"prediction": np.zeros(2), "target": np.array([1.0, np.nan])},
            "'target' is not finite in 1 of 2 samples",
        ),
        (regression, {"prediction": np.zeros(0), "target": np.zeros(0)}, "no samples in 'pred"),
        (multiclass, {"logits": np.zeros((0, 3)), "target": np.zeros(0)}, "no samples in 'logits'"),
        (binary, {"logits": np.zeros(0), "target": np.zeros(0)}, "no samples in 'logits'"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(method: Any, accumulated: Any, told: str) -> None:
    with pytest.raises(ll.DataError, match=told):
        method(accumulated)


def test_images_may_be_predicted() -> None:
    prediction, target = np.random.default_rng(0).normal(size=(2, 5, 1, 4, 4))
    measured = regression({"prediction": prediction, "target": target[:, 0]})
    assert measured["mae"] == pytest.approx(np.abs(prediction - target).mean())
