"""Which samples a pass of a loop is made of, and in which order, other than shuffled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from legoloop.core.arguments import at_least
from legoloop.core.errors import DataError
from legoloop.core.rng import derived_seed

Sampler = Callable[[Any, torch.Generator], torch.Tensor | Sequence[int]]
"""From a data set and a generator to the indices of one pass, as many as there are samples."""


class WeightedSampler:
    """Draws each sample of a pass in proportion to its weight, with replacement.

    ``key`` names the weights, one a sample and none below 0: a column of the data set, or an
    attribute. A pass has as many samples as the data set; heavy ones come several times in it,
    light ones perhaps not at all. Raises DataError for weights that cannot be drawn by.

    >>> from legoloop.data.datasets import ColumnDataset
    >>> data = ColumnDataset({"weight": torch.tensor([0.0, 1.0, 0.0])})
    >>> WeightedSampler()(data, torch.Generator().manual_seed(0))
    tensor([1, 1, 1])
    """

    def __init__(self, key: str = "weight") -> None:
        self.key = key

    def __call__(self, dataset: Any, generator: torch.Generator) -> torch.Tensor:
        """The indices of a pass."""
        weights = per_sample(dataset, self.key)
        if not torch.isfinite(weights).all() or (weights < 0).any() or not weights.any():
            raise DataError(f"'{self.key}' are no weights; give numbers of 0 or more, not all 0")
        return drawn(weights, generator)


class ClassBalancedSampler:
    """Draws each class as often as any other, and the samples of a class alike, with replacement.

    ``key`` names the classes, one a sample: a column of the data set, or an attribute. A pass has
    as many samples as the data set. Raises DataError if there is neither.

    >>> from legoloop.data.datasets import ColumnDataset
    >>> data = ColumnDataset({"target": torch.tensor([0] * 990 + [1] * 10)})
    >>> order = ClassBalancedSampler()(data, torch.Generator().manual_seed(0))
    >>> data.columns["target"][order].bincount()
    tensor([500, 500])
    """

    def __init__(self, key: str = "target") -> None:
        self.key = key

    def __call__(self, dataset: Any, generator: torch.Generator) -> torch.Tensor:
        """The indices of a pass."""
        _, classes, sizes = np.unique(
            per_sample(dataset, self.key), return_inverse=True, return_counts=True
        )
        return drawn(torch.from_numpy(1 / sizes[classes]), generator)


class BucketSampler:
    """Puts samples of about the same length into a batch, so that little of it is padding.

    A pass is shuffled and taken in pools of so many ``batches``; a pool is sorted by length and cut
    into batches of ``batch_size``, which come in random order. Every sample comes once a pass, and
    the last batch is short as ever. ``key`` names the lengths: a column of the data set, or an
    attribute. Raises ArgumentError for numbers below 1, DataError if there are no lengths.

    >>> from legoloop.data.datasets import ColumnDataset
    >>> data = ColumnDataset({"length": torch.tensor([9, 1, 8, 2])})
    >>> order = BucketSampler(batch_size=2)(data, torch.Generator().manual_seed(0))
    >>> data.columns["length"][order].tolist()
    [1, 2, 8, 9]
    """

    def __init__(self, batch_size: int, key: str = "length", batches: int = 50) -> None:
        at_least(1, batch_size=batch_size, batches=batches)
        self.batch_size = batch_size
        self.key = key
        self.batches = batches

    def __call__(self, dataset: Any, generator: torch.Generator) -> torch.Tensor:
        """The indices of a pass."""
        lengths = per_sample(dataset, self.key)
        order = torch.randperm(len(lengths), generator=generator)
        of_pool = self.batches * self.batch_size
        pools = [order[first : first + of_pool] for first in range(0, len(order), of_pool)]
        grouped = torch.cat([pool[lengths[pool].argsort(stable=True)] for pool in pools])
        whole = len(grouped) // self.batch_size * self.batch_size
        batches = grouped[:whole].view(-1, self.batch_size)
        batches = batches[torch.randperm(len(batches), generator=generator)]
        return torch.cat([batches.flatten(), grouped[whole:]])


def order_of_pass(
    sampler: Sampler, dataset: Any, seed: int, name: str, number: int
) -> torch.Tensor:
    """The indices that a sampler gives for one pass, a function of (seed, name, pass).

    Raises DataError if they are not as many as the data set has samples, or no indices of it.

    >>> def backwards(dataset, generator): return torch.arange(len(dataset)).flip(0)
    >>> order_of_pass(backwards, "abc", seed=0, name="train", number=0)
    tensor([2, 1, 0])
    """
    generator = torch.Generator().manual_seed(derived_seed(seed, name, "pass", number))
    order = torch.as_tensor(sampler(dataset, generator))
    if len(order) != len(dataset):
        raise DataError(
            f"{type(sampler).__name__} gave {len(order)} indices for a pass over '{name}'; "
            f"it gives as many as there are samples, {len(dataset)}"
        )
    if order.ndim != 1 or order.is_floating_point() or order.dtype == torch.bool:
        raise DataError(
            f"{type(sampler).__name__} gave {order.dtype} of shape {tuple(order.shape)} for a pass "
            f"over '{name}'; it gives indices, whole numbers"
        )
    wrong = order[(order < 0) | (order >= len(dataset))]
    if len(wrong):
        raise DataError(
            f"{type(sampler).__name__} gave the index {int(wrong[0])} for a pass over '{name}'; "
            f"indices are 0 to {len(dataset) - 1}"
        )
    return order.long()


def per_sample(dataset: Any, key: str) -> torch.Tensor:
    """One value a sample: a column of the data set, or an attribute of that name.

    Raises DataError if there is none, or not one value a sample.

    >>> class Texts:
    ...     length = [3, 1]
    ...     def __len__(self): return 2
    >>> per_sample(Texts(), "length")
    tensor([3, 1])
    """
    columns = getattr(dataset, "columns", {})
    if key not in columns and not hasattr(dataset, key):
        raise DataError(
            f"a {type(dataset).__name__} has no column and no attribute '{key}'; give it one, "
            "a value for each sample"
        )
    given = columns[key] if key in columns else getattr(dataset, key)
    values = given.cpu() if isinstance(given, torch.Tensor) else torch.as_tensor(np.asarray(given))
    if values.shape != (len(dataset),):
        raise DataError(
            f"'{key}' of a {type(dataset).__name__} has shape {tuple(values.shape)}; "
            f"give one value for each of the {len(dataset)} samples"
        )
    return values


def drawn(weights: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """As many indices as there are weights, each drawn in proportion to its weight.

    >>> drawn(torch.tensor([1.0, 0.0]), torch.Generator().manual_seed(0))
    tensor([0, 0])
    """
    # multinomial takes no more than 2**24 weights
    edges = weights.double().cumsum(0)
    points = torch.rand(len(weights), generator=generator, dtype=torch.float64) * edges[-1]
    last = int(weights.nonzero().max())  # a point may be rounded up to the very end
    return torch.searchsorted(edges, points, right=True).clamp_(max=last)
