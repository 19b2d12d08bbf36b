"""Limits how much of a run's time goes into output."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Throttle:
    """Tells when output is due, so that it takes no more than a share of the time.

    Args:
        max_fraction: of the time, above 0 and at most 1, that the timed blocks may take.
        min_interval: seconds, at least, before the first output and between two.

    >>> throttle = Throttle(max_fraction=0.01, min_interval=60.0)
    >>> throttle.is_due()
    False
    """

    def __init__(self, max_fraction: float, min_interval: float = 0.0) -> None:
        self.max_fraction = max_fraction
        self.min_interval = min_interval
        self._due = time.monotonic() + min_interval

    def is_due(self) -> bool:
        """Whether the next output may be made."""
        return time.monotonic() >= self._due

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Time the output made in the block; how long it takes decides when the next is due."""
        began = time.monotonic()
        yield
        ended = time.monotonic()
        self._due = ended + max(self.min_interval, (ended - began) / self.max_fraction)
