"""Random numbers for the samples of a batch, each those of its own position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from legoloop.data.positional_rng import GENERATORS, PositionalRng

Item = TypeVar("Item")
Sample = TypeVar("Sample")

WATCHED = 16
"""The number of samples that show from which generators a data set draws."""


class SampleSeeding:
    """Seeds for each sample of a batch the global generators that samples draw from.

    Seeding python's and numpy's takes several times as long as seeding torch's, and most data sets
    draw from torch alone or not at all. The first samples show from which they draw. Whether later
    ones draw from others is seen after each batch: those have moved; then the batch is made again,
    and from then on they are seeded too. So a sample gets the numbers that it would get if all
    generators were seeded for it.

    Args:
        rng (PositionalRng): gives the seeds; is active while samples are made.

    >>> import random
    >>> rng = PositionalRng(0, "train")
    >>> seeding = SampleSeeding(rng)
    >>> with rng.active():
    ...     whole = seeding.map(lambda item: random.random(), 0, range(4))
    ...     parts = [seeding.map(lambda item: random.random(), at, range(2)) for at in (0, 2)]
    >>> whole == parts[0] + parts[1]
    True
    """

    def __init__(self, rng: PositionalRng) -> None:
        self._rng = rng
        self._seeded: frozenset[str] | None = None

    def map(
        self, make: Callable[[Item], Sample], first: int, items: Sequence[Item]
    ) -> list[Sample]:
        """What ``make`` returns for each item, with the random numbers of its position.

        The generators are left as the last item would leave them, had all been seeded for it.

        Args:
            make (Callable): makes a sample; is called again if a batch is made again.
            first (int): the position of the first item.
            items (Sequence): what the samples are made of.
        """
        if self._seeded is None:
            samples = self._watch(make, first, items[:WATCHED])
            rest = items[WATCHED:]
            return samples + self.map(make, first + WATCHED, rest) if rest else samples
        seeds = self._rng.seeds(first, len(items))
        while True:
            samples, error = self._attempt(make, seeds, items, self._seeded)
            others = GENERATORS - self._seeded
            missed = self._rng.moved(others, since=seeds[0])
            if not missed:
                if error is not None:
                    raise error
                self._rng.seed(seeds[-1], others)
                return samples
            self._seeded |= missed

    def _watch(
        self, make: Callable[[Item], Sample], first: int, items: Sequence[Item]
    ) -> list[Sample]:
        seeded = frozenset({"torch"})
        samples: list[Sample] = []
        seeds = self._rng.seeds(first, len(items))
        for seed, item in zip(seeds, items, strict=True):
            if samples:
                seeded |= self._rng.moved(GENERATORS - seeded, since=seeds[len(samples) - 1])
            self._rng.seed(seed)
            samples.append(make(item))
        self._seeded = seeded
        return samples

    def _attempt(
        self,
        make: Callable[[Item], Sample],
        seeds: Sequence[int],
        items: Sequence[Item],
        seeded: frozenset[str],
    ) -> tuple[list[Sample], Exception | None]:
        """The samples; with an error, which wrong numbers may have led to, those before it."""
        samples: list[Sample] = []
        self._rng.seed(seeds[0])
        try:
            for seed, item in zip(seeds, items, strict=True):
                self._rng.seed(seed, seeded)
                samples.append(make(item))
        except Exception as error:
            return samples, error
        return samples, None
