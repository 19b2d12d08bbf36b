"""Metrics: plain functions of accumulated arrays; averages are over samples, not batches.

They are those of scikit-learn, to the last bit, without its import, which takes seconds, and its
checks, which take milliseconds a call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from legoloop.core.class_labels import (
    Array,
    class_probabilities,
    is_soft,
    predicted_classes,
    probabilities_of_class_1,
    target_classes,
)
from legoloop.core.errors import DataError
from legoloop.core.protocols import Arrays, Metrics, Scalars
from legoloop.core.suggestions import did_you_mean


def multiclass(accumulated: Arrays, ignore_index: int | None = None) -> Scalars:
    """Accuracy, macro F1 and cross entropy of classes from ``logits`` and ``target``.

    F1 is the mean over the classes that occur, as targets or as predictions.

    Args:
        accumulated (dict): ``logits``, (samples, classes) float; ``target``, class indices,
            (samples,), or a probability for each class, (samples, classes) float: then the
            likeliest is the class, and the cross entropy is that of the probabilities.
        ignore_index (int | None): samples with this label do not count; None: all do.

    Returns a dict with ``accuracy``, ``f1`` and ``loss``. Raises DataError for a target that is no
    class, and for an array that is missing, empty, or of another shape.

    >>> logits = np.array([[2.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    >>> multiclass({"logits": logits, "target": np.array([0, 1, 0])})["accuracy"]
    1.0
    """
    logits, target = _columns(accumulated, "logits", "target")
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise DataError(
            f"the metrics find logits of shape {logits.shape}; multiclass needs (samples, "
            "classes), and metrics=binary one logit per sample"
        )
    if ignore_index is not None and target.ndim == 1:
        counted = target != ignore_index
        if not counted.any():
            raise DataError(f"the metrics find no label but {ignore_index}, which is ignored")
        logits, target = logits[counted], target[counted]
    classes = target_classes(target, logits)
    if classes.max() >= logits.shape[1]:
        raise DataError(
            f"the metrics find targets from {classes.min()} to {classes.max()}; "
            f"classes are 0 to {logits.shape[1] - 1}"
        )
    predicted = predicted_classes(logits)
    f1 = _f1_by_class(classes, predicted, logits.shape[1])
    log_probabilities = _log_softmax(logits.astype(np.float64))
    if is_soft(target, logits):
        losses = -(class_probabilities(target) * log_probabilities).sum(axis=1)
    else:
        losses = -log_probabilities[np.arange(len(classes)), classes]
    return {
        "accuracy": _accuracy(classes, predicted),
        "f1": float(f1[~np.isnan(f1)].mean()),
        "loss": float(losses.mean()),
    }


def binary(accumulated: Arrays) -> Scalars:
    """Accuracy, F1, area under the ROC curve and cross entropy of two classes.

    Args:
        accumulated (dict): ``logits``, (samples,) float, positive for class 1; ``target``,
            (samples,), 0 or 1, or the probability of class 1: then a sample is of class 1 if that
            is above 0.5, and the cross entropy is that of the probabilities.

    Returns a dict with ``accuracy``, ``f1``, ``auc`` and ``loss``; ``auc`` is nan where only one
    class occurs or a logit is not finite. Raises DataError for a target that is not from 0 to 1,
    and for an array that is missing, empty, or of another shape.

    >>> binary({"logits": np.array([-1.0, 2.0]), "target": np.array([0, 1])})["auc"]
    1.0
    """
    logits, target = _columns(accumulated, "logits", "target")
    probabilities = probabilities_of_class_1(target, logits)
    logits = logits.astype(np.float64).reshape(-1)
    classes, predicted = (probabilities > 0.5).astype(np.int64), predicted_classes(logits)
    with np.errstate(invalid="ignore"):
        losses = np.logaddexp(0, logits) - logits * probabilities
    return {
        "accuracy": _accuracy(classes, predicted),
        "f1": float(np.nan_to_num(_f1_by_class(classes, predicted, 2)[1])),
        "auc": _area_under_roc(classes, logits),
        "loss": float(losses.mean()),
    }


def regression(accumulated: Arrays) -> Scalars:
    """Mean absolute error, root mean squared error and R² of ``prediction`` and ``target``.

    Of several outputs, each is the mean over the outputs.

    Args:
        accumulated (dict): ``prediction`` and ``target``, both (samples,) or (samples, outputs)
            float.

    Returns a dict with ``mae``, ``rmse`` and ``r2``, in the unit of the target (``r2`` has none);
    all are nan if a prediction is not finite, ``r2`` is for a single sample. Raises DataError for
    a target that is not finite, and for an array that is missing, empty, or of another shape.

    >>> regression({"prediction": np.array([1.0, 3.0]), "target": np.array([1.0, 2.0])})["mae"]
    0.5
    """
    prediction, target = _columns(accumulated, "prediction", "target")
    if _sides(prediction) != _sides(target):
        raise DataError(
            f"the metrics find 'prediction' of shape {prediction.shape} and 'target' of shape "
            f"{target.shape}; give both the same"
        )
    samples = len(target)
    prediction, target = (
        column.astype(np.float64).reshape(samples, -1) for column in (prediction, target)
    )
    if not np.isfinite(target).all():
        wrong = int((~np.isfinite(target)).any(axis=1).sum())
        raise DataError(f"'target' is not finite in {wrong} of {samples} samples")
    if not np.isfinite(prediction).all():
        return dict.fromkeys(("mae", "rmse", "r2"), float("nan"))
    errors = target - prediction
    return {
        "mae": float(np.abs(errors).mean(axis=0).mean()),
        "rmse": float(np.sqrt((errors**2).mean(axis=0)).mean()),
        "r2": float(_r2_by_output(errors, target).mean()) if samples > 1 else float("nan"),
    }


def evaluated(accumulated: Arrays, also: Metrics | None = None) -> Scalars:
    """The numbers that accumulators computed themselves, such as a MeanLoss.

    Of an accumulator that gives several they are ``<accumulator>/<name>``, or ``/<number>``.
    Columns, which have an entry per sample, are left out.

    Args:
        accumulated (dict): what the accumulators gave.
        also (Callable | None): metrics of the same columns, beside these.

    Returns a dict with a number for each. Raises DataError if there is none, or if ``also`` gives
    one of the same name.

    >>> evaluated({"loss": 0.5, "target": np.array([1, 0]), "score": {"f1": 0.75}})
    {'loss': 0.5, 'score/f1': 0.75}
    """
    numbers = dict(_numbers(accumulated))
    if not numbers:
        raise DataError(
            "no accumulator gives a number; give one that does, such as accumulators=loss; there "
            f"are {', '.join(accumulated) or 'none'}"
        )
    others = {} if also is None else also(accumulated)
    if twice := sorted(numbers.keys() & others.keys()):
        raise DataError(
            f"both an accumulator and the metrics give '{twice[0]}'; give the accumulator another "
            "name"
        )
    return {**others, **numbers}


def _numbers(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers, and those of dicts inside."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float | np.number):
            yield f"{prefix}{name}", float(value)


def _accuracy(classes: Array, predicted: Array) -> float:
    return float((classes == predicted).mean())


def _f1_by_class(classes: Array, predicted: Array, number: int) -> Array:
    """Shape (number,); nan for a class that occurs nowhere."""
    right = np.bincount(classes[classes == predicted], minlength=number)
    occurring = np.bincount(classes, minlength=number) + np.bincount(predicted, minlength=number)
    with np.errstate(invalid="ignore"):
        return np.asarray(2.0 * right / occurring)


def _area_under_roc(classes: Array, scores: Array) -> float:
    """By trapezoids between the thresholds at which the curve bends; nan where there is none."""
    positive = int(classes.sum())
    if not 0 < positive < len(classes) or not np.isfinite(scores).all():
        return float("nan")
    descending = np.argsort(-scores, kind="stable")
    last_of_ties = np.append(np.flatnonzero(np.diff(scores[descending])), len(scores) - 1)
    found = np.cumsum(classes[descending])[last_of_ties]
    falsely = 1 + last_of_ties - found
    bends = (np.diff(found, 2) != 0) | (np.diff(falsely, 2) != 0)
    corners = np.concatenate([[True], bends, [True]])[-len(found) :]
    true_rate = np.append(0.0, found[corners]) / positive
    false_rate = np.append(0.0, falsely[corners]) / (len(classes) - positive)
    return float((np.diff(false_rate) * (true_rate[1:] + true_rate[:-1]) / 2.0).sum())


def _log_softmax(logits: Array) -> Array:
    """Over the classes, axis 1; nan in rows with values that are not finite."""
    largest = logits.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        shifted = logits - np.where(np.isfinite(largest), largest, 0)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _r2_by_output(errors: Array, target: Array) -> Array:
    """Shape (outputs,). Of a constant target, 1 where the prediction is right and else 0."""
    unexplained = (errors**2).sum(axis=0)
    total = ((target - target.mean(axis=0)) ** 2).sum(axis=0)
    explained = 1 - unexplained / np.where(total == 0, 1, total)
    found: Array = np.where(total == 0, unexplained == 0, explained)
    return found.astype(np.float64)


def _sides(column: Array) -> tuple[int, ...]:
    """The shape but for sides of length 1, which do not count: (samples, 1) is (samples,)."""
    return len(column), *(side for side in column.shape[1:] if side != 1)


def _columns(accumulated: Arrays, *names: str) -> list[Array]:
    for name in names:
        if name not in accumulated:
            raise DataError(
                f"the metrics need '{name}', which no accumulator collects; "
                f"{did_you_mean(name, accumulated)}"
            )
        if len(accumulated[name]) == 0:
            raise DataError(f"the metrics find no samples in '{name}'")
    return [accumulated[name] for name in names]
