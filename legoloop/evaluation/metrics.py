"""Metrics: plain functions of accumulated arrays; averages are over samples, not batches."""

from __future__ import annotations

from typing import Any

import numpy as np

from legoloop.core.errors import DataError
from legoloop.core.protocols import Arrays, Scalars
from legoloop.core.suggestions import did_you_mean


def multiclass(accumulated: Arrays) -> Scalars:
    """Accuracy, macro F1 and cross entropy of classes from ``logits`` and ``target``.

    Args:
        accumulated (dict): ``logits``, (samples, classes) float; ``target``, (samples,) int.

    Returns a dict with ``accuracy``, ``f1`` and ``loss``. Raises DataError for a target that is no
    class, and for an array that is missing.

    >>> logits = np.array([[2.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    >>> multiclass({"logits": logits, "target": np.array([0, 1, 0])})["accuracy"]
    1.0
    """
    from scipy.special import log_softmax
    from sklearn.metrics import accuracy_score, f1_score

    logits, target = _columns(accumulated, "logits", "target")
    target = target.reshape(-1).astype(np.int64)
    if not 0 <= target.min() <= target.max() < logits.shape[1]:
        raise DataError(
            f"the metrics find targets from {target.min()} to {target.max()}; "
            f"classes are 0 to {logits.shape[1] - 1}"
        )
    predicted = logits.argmax(axis=1)
    with np.errstate(invalid="ignore"):
        log_probas = log_softmax(logits.astype(np.float64), axis=1)
    return {
        "accuracy": float(accuracy_score(target, predicted)),
        "f1": float(f1_score(target, predicted, average="macro", zero_division=0)),
        "loss": float(-log_probas[np.arange(len(target)), target].mean()),
    }


def binary(accumulated: Arrays) -> Scalars:
    """Accuracy, F1, area under the ROC curve and cross entropy of two classes.

    Args:
        accumulated (dict): ``logits``, (samples,) float, positive for class 1; ``target``,
            (samples,) 0 or 1.

    Returns a dict with ``accuracy``, ``f1``, ``auc`` and ``loss``; ``auc`` is nan where only one
    class occurs or a logit is not finite. Raises DataError for an array that is missing.

    >>> binary({"logits": np.array([-1.0, 2.0]), "target": np.array([0, 1])})["auc"]
    1.0
    """
    from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

    logits, target = _columns(accumulated, "logits", "target")
    logits, target = logits.astype(np.float64).reshape(-1), target.reshape(-1).astype(int)
    predicted = (logits > 0).astype(int)
    has_area = len(np.unique(target)) == 2 and np.isfinite(logits).all()
    with np.errstate(invalid="ignore"):
        losses = np.logaddexp(0, logits) - logits * target
    return {
        "accuracy": float(accuracy_score(target, predicted)),
        "f1": float(f1_score(target, predicted, zero_division=0)),
        "auc": float(roc_auc_score(target, logits)) if has_area else float("nan"),
        "loss": float(losses.mean()),
    }


def regression(accumulated: Arrays) -> Scalars:
    """Mean absolute error, root mean squared error and R² of ``prediction`` and ``target``.

    Args:
        accumulated (dict): ``prediction`` and ``target``, both (samples,) or (samples, outputs)
            float.

    Returns a dict with ``mae``, ``rmse`` and ``r2``, in the unit of the target (``r2`` has none);
    all are nan if a prediction is not finite. Raises DataError for an array that is missing.

    >>> regression({"prediction": np.array([1.0, 3.0]), "target": np.array([1.0, 2.0])})["mae"]
    0.5
    """
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    prediction, target = (
        column.astype(np.float64) for column in _columns(accumulated, "prediction", "target")
    )
    if not np.isfinite(prediction).all():
        return dict.fromkeys(("mae", "rmse", "r2"), float("nan"))
    return {
        "mae": float(mean_absolute_error(target, prediction)),
        "rmse": float(root_mean_squared_error(target, prediction)),
        "r2": float(r2_score(target, prediction)) if len(target) > 1 else float("nan"),
    }


def _columns(accumulated: Arrays, *names: str) -> list[np.ndarray[Any, Any]]:
    for name in names:
        if name not in accumulated:
            raise DataError(
                f"the metrics need '{name}', which no accumulator collects; "
                f"{did_you_mean(name, accumulated)}"
            )
    return [accumulated[name] for name in names]
