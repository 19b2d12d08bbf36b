"""The samples of a data set in two parts, as scikit-learn's ``train_test_split`` makes them.

Importing scikit-learn takes longer than an epoch of a small data set.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np

from legoloop.core.errors import ArgumentError

Array = np.ndarray[Any, Any]
SEED = 0


def split(samples: int, val_fraction: float, stratify: Array | None = None) -> tuple[Array, Array]:
    """The rows of the training split and of the validation split, in ascending order.

    It is always the same for a number of samples and a fraction.

    Args:
        samples: how many there are.
        val_fraction: share of the samples in the validation split, above 0 and below 1.
        stratify: the class of each sample; both splits have as much of each, as far as possible.

    Raises:
        ArgumentError: for a fraction that leaves a split too small: empty, or with fewer samples
            than there are classes.

    >>> split(5, val_fraction=0.2)
    (array([0, 1, 3, 4]), array([2]))
    """
    if not 0 < val_fraction < 1:
        raise ArgumentError(
            f"is {val_fraction}", argument="val_fraction", remedy="give a number between 0 and 1"
        )
    validation = ceil(val_fraction * samples)
    training = samples - validation
    counts = np.array([samples]) if stratify is None else np.bincount(stratify)
    if min(training, validation) < len(counts):
        raise ArgumentError(
            f"is {val_fraction}, which leaves a split of {samples} samples too small",
            argument="val_fraction",
        )
    random = np.random.RandomState(SEED)
    if stratify is None:
        order = random.permutation(samples)
        return np.sort(order[validation:]), np.sort(order[:validation])
    of_training = _shares(counts, training, random)
    of_validation = _shares(counts - of_training, validation, random)
    chosen: tuple[list[Array], list[Array]] = ([], [])
    for number, count in enumerate(counts):
        rows = np.flatnonzero(stratify == number)[random.permutation(count)]
        first, last = of_training[number], of_training[number] + of_validation[number]
        chosen[0].append(rows[:first])
        chosen[1].append(rows[first:last])
    return np.sort(np.concatenate(chosen[0])), np.sort(np.concatenate(chosen[1]))


def _shares(counts: Array, drawn: int, random: np.random.RandomState) -> Array:
    """How many of each class are drawn; where shares are as large, chance rounds one of them up."""
    exact = counts / counts.sum() * drawn
    shares = np.floor(exact)
    missing = int(drawn - shares.sum())
    for remainder in np.unique(exact - shares)[::-1]:
        if missing == 0:
            break
        alike = np.flatnonzero(exact - np.floor(exact) == remainder)
        rounded_up = random.choice(alike, size=min(len(alike), missing), replace=False)
        shares[rounded_up] += 1
        missing -= len(rounded_up)
    rounded: Array = shares.astype(int)
    return rounded
