"""Which way a scalar is better."""

from __future__ import annotations

HIGHER = ("accuracy", "f1", "auc", "r2")
LOWER = ("loss", "mae", "mse", "rmse")


def higher_is_better(tag: str) -> bool | None:
    """Whether more of a scalar is better, from the last word of its tag; None if nobody knows.

    >>> higher_is_better("val/accuracy"), higher_is_better("train/loss"), higher_is_better("lr")
    (True, False, None)
    """
    metric = tag.rsplit("/", 1)[-1]
    if metric in HIGHER:
        return True
    return False if metric in LOWER else None
