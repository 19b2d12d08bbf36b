"""Data sets that need no download: three of scikit-learn's, and XOR."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from legoloop.core.arguments import at_least
from legoloop.core.errors import ArgumentError
from legoloop.core.protocols import Batch
from legoloop.core.rng import derived_seed
from legoloop.data.datasets import ColumnDataset
from legoloop.zoo.splits import split

Array = np.ndarray[Any, Any]


def digits(
    train: bool = True,
    transform: Callable[[Batch], Batch] | None = None,
    val_fraction: float = 0.2,
) -> ColumnDataset:
    """1,797 handwritten digits: ``image`` (samples, 1, 8, 8) float32 from 0 to 1, ``target`` int64.

    The split is stratified, and always the same for a ``val_fraction``; ``idx`` is the row in the
    whole data set.

    Args:
        train: True: the training split; False: the validation split.
        transform: applied to each batch; None: none.
        val_fraction: share of the samples in the validation split, above 0 and below 1.

    Raises:
        ArgumentError: for a fraction that leaves a split too small.

    >>> digits(train=False).columns["image"].shape
    torch.Size([360, 1, 8, 8])
    """
    image, target = _digits()
    training, validation = split(len(target), val_fraction, stratify=target)
    chosen = training if train else validation
    return ColumnDataset(
        {
            "image": _float32(image[chosen] / 16).reshape(-1, 1, 8, 8),
            "target": torch.from_numpy(target[chosen]).long(),
            "idx": torch.from_numpy(chosen),
        },
        transform,
        task="multiclass",
        num_outputs=10,
        num_features=64,
        input_key="image",
        image_shape=(1, 8, 8),
    )


def breast_cancer(train: bool = True, val_fraction: float = 0.2) -> ColumnDataset:
    """569 tumours: ``features`` (samples, 30) float32, ``target`` (samples,) float32, 1 = benign.

    Features are standardised with mean and standard deviation of the training split. The split is
    made as for ``digits``.

    Args:
        train: True: the training split; False: the validation split.
        val_fraction: share of the samples in the validation split, above 0 and below 1.

    Raises:
        ArgumentError: for a fraction that leaves a split too small.

    >>> breast_cancer().num_features
    30
    """
    from sklearn.datasets import load_breast_cancer

    features, target = load_breast_cancer(return_X_y=True)
    training, validation = split(len(target), val_fraction, stratify=target)
    chosen = training if train else validation
    return _columns(
        chosen,
        features=_standardised(features, training)[chosen],
        target=target[chosen],
        task="binary",
    )


def diabetes(train: bool = True, val_fraction: float = 0.2) -> ColumnDataset:
    """442 patients: ``features`` (samples, 10) float32, ``target`` (samples,) float32.

    Features and target are standardised with mean and standard deviation of the training split, so
    that errors are in standard deviations of the target; R² does not depend on the unit. To undo
    it: ``prediction * target_std + target_mean``. The split is always the same for a fraction.

    Args:
        train: True: the training split; False: the validation split.
        val_fraction: share of the samples in the validation split, above 0 and below 1.

    Raises:
        ArgumentError: for a fraction that leaves a split too small.

    >>> diabetes().task
    'regression'
    """
    from sklearn.datasets import load_diabetes

    features, target = load_diabetes(return_X_y=True, scaled=False)
    training, validation = split(len(target), val_fraction)
    chosen = training if train else validation
    return _columns(
        chosen,
        features=_standardised(features, training)[chosen],
        target=_standardised(target, training)[chosen],
        task="regression",
        target_mean=float(target[training].mean()),
        target_std=float(target[training].std()),
    )


def xor(
    samples: int = 1000, train: bool = True, noise: float = 0.1, seed: int = 0
) -> ColumnDataset:
    """Points around the corners of a square: ``features`` (samples, 2) float32, ``target`` float32.

    A corner (±1, ±1) has class 1 if its signs differ.

    Args:
        samples: the number of points.
        train: True and False draw different points.
        noise: standard deviation around the corners, 0 or more.
        seed: of the random generator.

    Raises:
        ArgumentError: for values out of range.

    >>> xor(samples=4, noise=0.0).columns["features"].tolist()
    [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]
    """
    at_least(1, samples=samples)
    if noise < 0:
        raise ArgumentError(f"is {noise}", argument="noise", remedy="give 0 or more")
    generator = torch.Generator().manual_seed(derived_seed("xor", seed, train))
    row = torch.arange(samples)
    first, second = row // 2 % 2, row % 2
    corners = torch.stack([first, second], dim=1) * 2.0 - 1
    return ColumnDataset(
        {
            "features": corners + noise * torch.randn(samples, 2, generator=generator),
            "target": (first != second).float(),
        },
        task="binary",
        num_outputs=1,
        num_features=2,
        input_key="features",
    )


@lru_cache(maxsize=1)
def _digits() -> tuple[Array, Array]:
    """Images and classes, read once for all jobs of a sweep.

    From the file of scikit-learn's: importing that takes longer than an epoch of them.
    """
    package = find_spec("sklearn")
    assert package is not None
    assert package.origin is not None
    with gzip.open(Path(package.origin).with_name("datasets") / "data" / "digits.csv.gz") as file:
        table = np.loadtxt(file, delimiter=",")
    images, targets = table[:, :-1], table[:, -1].astype(np.int64)
    images.flags.writeable = targets.flags.writeable = False
    return images, targets


def _standardised(values: Array, training: Array) -> Array:
    reference = values[training]
    standardised: Array = (values - reference.mean(axis=0)) / reference.std(axis=0)
    return standardised


def _columns(
    rows: Array, features: Array, target: Array, task: str, **attributes: Any
) -> ColumnDataset:
    return ColumnDataset(
        {
            "features": _float32(features),
            "target": _float32(target),
            "idx": torch.from_numpy(rows),
        },
        task=task,
        num_outputs=1,
        num_features=features.shape[1],
        input_key="features",
        **attributes,
    )


def _float32(values: Array) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))
