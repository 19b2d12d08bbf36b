"""Order and augmentation randomness as functions of seed, name and position."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.random import mtrand

from legoloop.core.rng import derived_seed

GENERATORS = frozenset({"torch", "python", "numpy"})
"""The global generators that a data set may draw from."""


def shuffled(seed: int, name: str, number: int, length: int) -> torch.Tensor:
    """The shuffled order of one pass: indices, int64, shape (length,).

    >>> torch.equal(shuffled(0, "train", 0, 5), shuffled(0, "train", 0, 5))
    True
    >>> sorted(shuffled(0, "train", 1, 5).tolist())
    [0, 1, 2, 3, 4]
    """
    generator = torch.Generator().manual_seed(derived_seed(seed, name, "pass", number))
    return torch.randperm(length, generator=generator)


@contextmanager
def single_threaded() -> Iterator[None]:
    """Use one thread inside, as torch does in a worker, so that both give the same bits.

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
    """Random numbers of a data set as a function of (seed, name, position).

    Either ``active`` and ``seed_for`` seed the global generators, which costs some 100 µs, or
    ``generator`` returns a seeded torch.Generator, which costs 3 µs. Both draw the same from torch.

    >>> rng = PositionalRng(0, "train")
    >>> with rng.active():
    ...     rng.seed_for(7); a = torch.rand(1)
    ...     rng.seed_for(8); b = torch.rand(1)
    ...     rng.seed_for(7); c = torch.rand(1)
    >>> bool(a == c != b)
    True
    """

    def __init__(self, seed: int, name: str) -> None:
        self._seed = seed
        self._name = name
        self._numpy = np.random.MT19937(0)
        self._torch = torch.Generator()

    def __reduce__(self) -> tuple[type[PositionalRng], tuple[int, str]]:
        """Without the generators: a torch.Generator cannot be pickled for a spawned worker."""
        return type(self), (self._seed, self._name)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Restore the global generators of random, numpy and torch afterwards; use one thread."""
        python, torch_state = random.getstate(), torch.default_generator.get_state()
        numpy, bit_generator = np.random.get_state(legacy=False), mtrand.get_bit_generator()
        mtrand.set_bit_generator(self._numpy)
        try:
            with single_threaded():
                yield
        finally:
            mtrand.set_bit_generator(bit_generator)
            if numpy["has_gauss"]:  # every other randn() is kept outside of the bit generator
                np.random.set_state(numpy)
            torch.default_generator.set_state(torch_state)
            random.setstate(python)

    def seed_for(self, position: int) -> None:
        """Seed the three global generators for the sample, or the batch, at a position."""
        self.seed(derived_seed(self._seed, self._name, position))

    def seeds(self, first: int, count: int) -> list[int]:
        """What ``seed_for`` seeds with at so many positions; made at once, which is faster."""
        return [
            derived_seed(self._seed, self._name, position)
            for position in range(first, first + count)
        ]

    def seed(self, number: int, names: Collection[str] = GENERATORS) -> None:
        """Seed these global generators."""
        if "torch" in names:
            torch.default_generator.manual_seed(number)
        if "python" in names:
            random.seed(number)
        if "numpy" in names:
            np.random.seed(number % 2**32)

    def moved(self, names: Collection[str], since: int) -> frozenset[str]:
        """Which of these generators do not stand where seeding with ``since`` puts them.

        Compares the next 64 bits of each, so that they have to be seeded again.
        """
        found = [(name, self._next_bits(name)) for name in names]
        self.seed(since, names)
        return frozenset(name for name, bits in found if bits != self._next_bits(name))

    def _next_bits(self, name: str) -> list[int]:
        if name == "python":
            return [random.getrandbits(64)]
        if name == "numpy":
            bits: list[int] = self._numpy.random_raw(2).tolist()
            return bits
        return torch.randint(2**62, (2,), generator=torch.default_generator).tolist()

    def generator(self, position: int) -> torch.Generator:
        """The CPU generator, which is one object, seeded for the batch at a position."""
        return self._torch.manual_seed(derived_seed(self._seed, self._name, position))
