"""Whether a higher or a lower value of a metric is better."""

from __future__ import annotations

from math import isfinite

HIGHER = ("accuracy", "f1", "auc", "r2")
LOWER = ("loss", "mae", "mse", "rmse")


def higher_is_better(tag: str) -> bool | None:
    """Whether a higher value is better, from the last word of the tag; None if it is not known.

    >>> higher_is_better("val/accuracy"), higher_is_better("train/loss"), higher_is_better("lr")
    (True, False, None)
    """
    metric = tag.rsplit("/", 1)[-1]
    if metric in HIGHER:
        return True
    return False if metric in LOWER else None


def is_best(tag: str, value: float, so_far: float | None) -> bool:
    """Whether a value of a metric is the best yet; never where the direction is not known.

    >>> is_best("val/loss", 0.1, so_far=0.2), is_best("val/loss", float("nan"), so_far=None)
    (True, False)
    """
    higher = higher_is_better(tag)
    if higher is None or not isfinite(value):
        return False
    if so_far is None:
        return True
    return value > so_far if higher else value < so_far
