"""The class that logits predict."""

from __future__ import annotations

from typing import Any

import numpy as np


def is_single(logits: np.ndarray[Any, Any]) -> bool:
    """Whether there is one logit per sample, positive for class 1.

    >>> is_single(np.zeros((3, 1))), is_single(np.zeros((3, 2)))
    (True, False)
    """
    return logits.ndim == 1 or logits.shape[1] == 1


def predicted_classes(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The predicted class of each sample, shape (samples,), int64.

    >>> predicted_classes(np.array([[0.5], [-0.5]])).tolist()
    [1, 0]
    """
    if is_single(logits):
        return (logits.reshape(-1) > 0).astype(np.int64)
    return np.asarray(logits.argmax(axis=1), np.int64)
