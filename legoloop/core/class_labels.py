"""Classes of samples: which one logits predict, and which one a target says."""

from __future__ import annotations

from typing import Any

import numpy as np

from legoloop.core.errors import DataError

Array = np.ndarray[Any, Any]


def is_single(logits: Array) -> bool:
    """Whether there is one logit per sample, positive for class 1.

    >>> is_single(np.zeros((3, 1))), is_single(np.zeros((3, 2)))
    (True, False)
    """
    return logits.ndim == 1 or logits.shape[1] == 1


def predicted_classes(logits: Array) -> Array:
    """The predicted class of each sample, shape (samples,), int64.

    >>> predicted_classes(np.array([[0.5], [-0.5]])).tolist()
    [1, 0]
    """
    if is_single(logits):
        return (logits.reshape(-1) > 0).astype(np.int64)
    return np.asarray(logits.argmax(axis=1), np.int64)


def target_classes(target: Array, logits: Array, name: str = "target") -> Array:
    """The target class of each sample, shape (samples,), int64.

    Args:
        target: for one logit per sample 0 and 1, or probabilities of class 1, of which those above
            0.5 are class 1; else class indices, or a probability for each class, in the shape of
            the logits, of which the largest counts.
        logits: shape (samples, classes), or (samples,) for two classes.
        name: the name of the target, for messages.

    Raises DataError for a target that is none of these.

    >>> target_classes(np.array([0.1, 0.9]), logits=np.zeros(2)).tolist()
    [0, 1]
    """
    if is_single(logits):
        return (probabilities_of_class_1(target, logits, name) > 0.5).astype(np.int64)
    if is_soft(target, logits):
        most: np.ndarray[Any, Any] = class_probabilities(target, name).argmax(axis=1)
        return most
    return class_indices(target, logits, name)


def is_soft(target: Array, logits: Array) -> bool:
    """Whether a target has a probability for each of several classes.

    >>> is_soft(np.full((3, 2), 0.5), np.zeros((3, 2))), is_soft(np.zeros(3), np.zeros((3, 2)))
    (True, False)
    """
    has_classes = logits.ndim == 2 and not is_single(logits)
    return has_classes and target.shape == logits.shape and target.dtype.kind == "f"


def probabilities_of_class_1(target: Array, logits: Array, name: str = "target") -> Array:
    """The target of two classes, shape (samples,), float64; raises DataError if it is none.

    >>> probabilities_of_class_1(np.array([True, False]), np.zeros((2, 1))).tolist()
    [1.0, 0.0]
    """
    _require_numbers(target, name)
    if target.size != logits.size:
        raise _mismatch(target, logits, name, "one logit and one target per sample")
    found = target.reshape(-1).astype(np.float64)
    if not ((found >= 0) & (found <= 1)).all():
        raise DataError(
            f"{_extent(found, name)}; with one logit per sample it is 0 or 1, or the probability "
            "of class 1"
        )
    return found


def class_probabilities(target: Array, name: str = "target") -> Array:
    """A probability for each class, float64; raises DataError if they do not sum to 1.

    >>> class_probabilities(np.array([[0.25, 0.75]])).tolist()
    [[0.25, 0.75]]
    """
    found = target.astype(np.float64)
    sums = found.sum(axis=1)
    # As far from 1 as rounding to bfloat16 may lead.
    if not ((found >= 0).all() and (np.abs(sums - 1) < 0.02).all()):
        raise DataError(
            f"'{name}' has the shape of the logits, {found.shape}, but its rows are no "
            "probabilities that sum to 1; give class indices, or such probabilities"
        )
    return found


def class_indices(target: Array, logits: Array, name: str = "target") -> Array:
    """Class indices, shape (samples,), int64; raises DataError for anything else.

    >>> class_indices(np.array([[1.0], [0.0]]), np.zeros((2, 3))).tolist()
    [1, 0]
    """
    _require_numbers(target, name)
    if target.size != len(logits):
        raise _mismatch(target, logits, name, "one class index per sample")
    found = target.reshape(-1)
    with np.errstate(invalid="ignore"):
        indices = found.astype(np.int64)
    if (indices != found).any() or indices.min(initial=0) < 0:
        raise DataError(
            f"{_extent(found, name)}; classes are 0 to {logits.shape[1] - 1}, whole numbers"
        )
    return indices


def _require_numbers(target: Array, name: str) -> None:
    if target.dtype.kind not in "biuf":
        raise DataError(f"'{name}' is of type {target.dtype}; classes are numbers from 0 on")


def _mismatch(target: Array, logits: Array, name: str, needed: str) -> DataError:
    return DataError(
        f"'{name}' has shape {target.shape} and the logits {logits.shape}; give {needed}"
    )


def _extent(values: Array, name: str) -> str:
    return f"'{name}' has values from {values.min():g} to {values.max():g}"
