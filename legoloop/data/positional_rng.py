"""Order and augmentation randomness as functions of seed, name and position."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.random import mtrand

from legoloop.core.rng import derived_seed


def shuffled(seed: int, name: str, number: int, length: int) -> torch.Tensor:
    """The order of one pass of a loop: ``length`` indices, int64.

    >>> torch.equal(shuffled(0, "train", 0, 5), shuffled(0, "train", 0, 5))
    True
    >>> sorted(shuffled(0, "train", 1, 5).tolist())
    [0, 1, 2, 3, 4]
    """
    generator = torch.Generator().manual_seed(derived_seed(seed, name, "pass", number))
    return torch.randperm(length, generator=generator)


@contextmanager
def single_threaded() -> Iterator[None]:
    """Inside, one thread computes, as in a worker, so that the bits are the same in both.

    >>> with single_threaded():
    ...     torch.get_num_threads()
    1
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class PositionalRng:
    """Random numbers for a data set, each draw a function of (seed, name, position).

    Either the global generators are lent, which costs some 100 µs, or a generator is handed over
    (``generator``), which costs 3 µs. Both draw the same from torch.

    >>> rng = PositionalRng(0, "train")
    >>> with rng.borrowed():
    ...     rng.at(7); a = torch.rand(1)
    ...     rng.at(8); b = torch.rand(1)
    ...     rng.at(7); c = torch.rand(1)
    >>> bool(a == c != b)
    True
    """

    def __init__(self, seed: int, name: str) -> None:
        self._seed = seed
        self._name = name
        self._numpy = np.random.MT19937(0)
        self._torch = torch.Generator()

    def __reduce__(self) -> tuple[type[PositionalRng], tuple[int, str]]:
        """It has no state of its own; a torch.Generator does not reach a worker that is spawned."""
        return type(self), (self._seed, self._name)

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Inside, draws leave the generators of the process as they were; one thread computes."""
        python, torch_state = random.getstate(), torch.default_generator.get_state()
        numpy, lent = np.random.get_state(legacy=False), mtrand.get_bit_generator()
        mtrand.set_bit_generator(self._numpy)
        try:
            with single_threaded():
                yield
        finally:
            mtrand.set_bit_generator(lent)
            if numpy["has_gauss"]:  # every other randn() waits outside of the bit generator
                np.random.set_state(numpy)
            torch.default_generator.set_state(torch_state)
            random.setstate(python)

    def at(self, position: int) -> None:
        """Seed all three that are lent for the sample, or the batch, at a position."""
        number = derived_seed(self._seed, self._name, position)
        random.seed(number)
        np.random.seed(number % 2**32)
        torch.default_generator.manual_seed(number)

    def generator(self, position: int) -> torch.Generator:
        """One for the batch at a position, on the CPU; it is the same object for all of them."""
        return self._torch.manual_seed(derived_seed(self._seed, self._name, position))
