from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from legoloop.core.errors import ArgumentError
from legoloop.zoo.splits import split

FRACTIONS = st.floats(0, 1, exclude_min=True, exclude_max=True)


def by_scikit_learn(
    samples: int, fraction: float, stratify: np.ndarray | None = None
) -> list[list[int]] | None:
    rows = np.arange(samples)
    try:
        parts = train_test_split(rows, test_size=fraction, stratify=stratify, random_state=0)
    except ValueError:
        return None
    return [sorted(part.tolist()) for part in parts]


def ours(
    samples: int, fraction: float, stratify: np.ndarray | None = None
) -> list[list[int]] | None:
    try:
        return [part.tolist() for part in split(samples, fraction, stratify)]
    except ArgumentError:
        return None


@given(samples=st.integers(1, 200), fraction=FRACTIONS)
def test_it_is_the_split_of_scikit_learn(samples: int, fraction: float) -> None:
    assert ours(samples, fraction) == by_scikit_learn(samples, fraction)


@given(
    counts=st.lists(st.integers(2, 30), min_size=1, max_size=6),
    fraction=FRACTIONS,
    seed=st.integers(0, 5),
)
def test_a_stratified_one_too(counts: list[int], fraction: float, seed: int) -> None:
    classes = np.random.RandomState(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    samples = len(classes)
    assert ours(samples, fraction, classes) == by_scikit_learn(samples, fraction, classes)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(ArgumentError, match="give a number between 0 and 1"):
        split(10, fraction)
