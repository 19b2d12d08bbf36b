"""Samplers: which samples a pass of a stream has, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from legoloop.core.arguments import at_least
from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.rng import derived_seed
from legoloop.data.named_dataset import NamedDataset

Sampler = Callable[[Any, torch.Generator], torch.Tensor | Sequence[int]]
"""Returns the indices of one pass over a data set, as many as it has samples."""


class WeightedSampler:
    """Samples with replacement, each sample in proportion to its weight.

    A pass has as many samples as the data set.

    Args:
        key: a column or an attribute of the data set with the weights, shape (samples,).

    Raises DataError for weights that are negative, not finite or all zero.

    >>> from legoloop.data.datasets import ColumnDataset
    >>> data = ColumnDataset({"weight": torch.tensor([0.0, 1.0, 0.0])})
    >>> WeightedSampler()(data, torch.Generator().manual_seed(0))
    tensor([1, 1, 1])
    """

    def __init__(self, key: str = "weight") -> None:
        self.key = key

    def __call__(self, dataset: Any, generator: torch.Generator) -> torch.Tensor:
        """The indices of a pass, shape (samples,)."""
        weights = per_sample_values(dataset, self.key)
        if not torch.isfinite(weights).all() or (weights < 0).any() or not weights.any():
            raise DataError(
                f"sampling weights in '{self.key}' must be finite, non-negative and not all zero"
            )
        return sample_indices(weights, generator)


class ClassBalancedSampler:
    """Samples with replacement, each class equally often, and uniformly within a class.

    A pass has as many samples as the data set. With several keys, such as the class and the site
    that a sample is from, each combination that occurs is a class.

    Args:
        key: a column or an attribute of the data set with the classes, numbers or names, shape
            (samples,); or a list of them.

    Raises ArgumentError for no key, DataError if the data set has neither column nor attribute.

    >>> from legoloop.data.datasets import ColumnDataset
    >>> data = ColumnDataset({"target": torch.tensor([0] * 990 + [1] * 10)})
    >>> order = ClassBalancedSampler()(data, torch.Generator().manual_seed(0))
    >>> data.columns["target"][order].bincount()
    tensor([500, 500])
    """

    def __init__(self, key: str | Sequence[str] = "target") -> None:
        self.key = key
        if not key:
            raise ArgumentError("is empty", argument="key", remedy="give a column, or a list")

    def __call__(self, dataset: Any, generator: torch.Generator) -> torch.Tensor:
        """The indices of a pass, shape (samples,)."""
        keys = [self.key] if isinstance(self.key, str) else self.key
        by_key = [np.unique(_per_sample(dataset, key), return_inverse=True)[1] for key in keys]
        _, classes, sizes = np.unique(
            np.stack(by_key), axis=1, return_inverse=True, return_counts=True
        )
        classes = classes.reshape(-1)  # releases of numpy differ in its shape
        return sample_indices(torch.from_numpy(1 / sizes[classes]), generator)


class BucketSampler:
    """Batches samples of similar length, to reduce padding.

    Each pass is shuffled and split into pools; a pool is sorted by length and split into batches,
    which come in random order. Every sample comes once per pass, and the last batch may be short.

    Args:
        batch_size: that of the loader.
        key: a column or an attribute of the data set with the lengths, shape (samples,).
        pool_batches: the number of batches in a pool.

    Raises ArgumentError for numbers below 1, DataError if the data set has no lengths.

    >>> from legoloop.data.datasets import ColumnDataset
    >>> data = ColumnDataset({"length": torch.tensor([9, 1, 8, 2])})
    >>> order = BucketSampler(batch_size=2)(data, torch.Generator().manual_seed(0))
    >>> data.columns["length"][order].tolist()
    [1, 2, 8, 9]
    """

    def __init__(self, batch_size: int, key: str = "length", pool_batches: int = 50) -> None:
        at_least(1, batch_size=batch_size, pool_batches=pool_batches)
        self.batch_size = batch_size
        self.key = key
        self.pool_batches = pool_batches

    def __call__(self, dataset: Any, generator: torch.Generator) -> torch.Tensor:
        """The indices of a pass, shape (samples,)."""
        lengths = per_sample_values(dataset, self.key)
        order = torch.randperm(len(lengths), generator=generator)
        pool_size = self.pool_batches * self.batch_size
        pools = [order[first : first + pool_size] for first in range(0, len(order), pool_size)]
        grouped = torch.cat([pool[lengths[pool].argsort(stable=True)] for pool in pools])
        whole = len(grouped) // self.batch_size * self.batch_size
        batches = grouped[:whole].view(-1, self.batch_size)
        batches = batches[torch.randperm(len(batches), generator=generator)]
        return torch.cat([batches.flatten(), grouped[whole:]])


def order_of_pass(
    sampler: Sampler, dataset: Any, seed: int, name: str, number: int
) -> torch.Tensor:
    """The indices of one pass from a sampler, a function of (seed, name, number of the pass).

    Raises DataError unless they are indices of the data set, as many as it has samples.

    >>> def backwards(dataset, generator): return torch.arange(len(dataset)).flip(0)
    >>> order_of_pass(backwards, "abc", seed=0, name="train", number=0)
    tensor([2, 1, 0])
    """
    generator = torch.Generator().manual_seed(derived_seed(seed, name, "pass", number))
    order = torch.as_tensor(sampler(dataset, generator))
    if len(order) != len(dataset):
        raise DataError(
            f"{type(sampler).__name__} returned {len(order)} indices for a pass over '{name}'; "
            f"return as many as there are samples, {len(dataset)}"
        )
    if order.ndim != 1 or order.is_floating_point() or order.dtype == torch.bool:
        raise DataError(
            f"{type(sampler).__name__} returned {order.dtype} of shape {tuple(order.shape)} for a "
            f"pass over '{name}'; return int indices of shape ({len(dataset)},)"
        )
    wrong = order[(order < 0) | (order >= len(dataset))]
    if len(wrong):
        raise DataError(
            f"{type(sampler).__name__} returned the index {int(wrong[0])} for a pass over "
            f"'{name}'; indices are 0 to {len(dataset) - 1}"
        )
    return order.long()


def per_sample_values(dataset: Any, key: str) -> torch.Tensor:
    """A column of the data set, or an attribute of that name, with one value per sample.

    Raises DataError if there is neither, if its shape is not (samples,), and for names.

    >>> class Texts:
    ...     length = [3, 1]
    ...     def __len__(self): return 2
    >>> per_sample_values(Texts(), "length")
    tensor([3, 1])
    """
    values = _per_sample(dataset, key)
    if values.dtype.kind not in "biuf":
        raise DataError(f"'{key}' of a {type(dataset).__name__} holds no numbers; give numbers")
    return torch.from_numpy(values)


def _per_sample(dataset: Any, key: str) -> np.ndarray[Any, Any]:
    """Numbers or names."""
    given = _column(dataset, key)
    if given is None:
        raise DataError(
            f"a {type(dataset).__name__} has no column and no attribute '{key}'; add one, "
            "with a value for each sample"
        )
    if isinstance(given, torch.Tensor):
        given = (given.float() if given.dtype == torch.bfloat16 else given).numpy(force=True)
    try:
        values = np.array(given)
        problem = f"has shape {values.shape}"
    except ValueError:  # its entries differ in shape
        values, problem = np.empty(()), "holds several values for a sample"
    if values.shape != (len(dataset),):
        raise DataError(
            f"'{key}' of a {type(dataset).__name__} {problem}; "
            f"give one value for each of the {len(dataset)} samples"
        )
    return values


def _column(dataset: Any, key: str) -> Any:
    columns = getattr(dataset, "columns", {})
    if key in columns:
        return columns[key]
    own = dataset.column(key) if isinstance(dataset, NamedDataset) else None
    return getattr(dataset, key, None) if own is None else own


def sample_indices(weights: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """As many indices as there are weights, each drawn in proportion to its weight.

    >>> sample_indices(torch.tensor([1.0, 0.0]), torch.Generator().manual_seed(0))
    tensor([0, 0])
    """
    # multinomial takes no more than 2**24 weights
    edges = weights.double().cumsum(0)
    points = torch.rand(len(weights), generator=generator, dtype=torch.float64) * edges[-1]
    last = int(weights.nonzero().max())  # a point may be rounded up to the very end
    return torch.searchsorted(edges, points, right=True).clamp_(max=last)
