"""The ranks of a run: processes that train one model together, each on its share of every batch.

A process that trains alone is a group of one, for which nothing here costs anything. The group of
several is ``core/rank_group.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from torch import nn

Point = Literal["start", "size", "step", "commit", "gather", "buffers", "replicas", "end"]
"""Where in a run ranks exchange numbers; all of them must be at the same one."""


class Ranks:
    """A process that trains alone: rank 0 of 1.

    Args:
        rank (int): the number of this process, from 0.
        size (int): how many there are.

    >>> ranks = Ranks()
    >>> ranks.is_writer, ranks.rows(5, of=8)
    (True, slice(0, 5, None))
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size
        self.is_alone = size == 1
        """Whether this process knows of no other."""
        self.interruption: BaseException | None = None
        """What all ranks have agreed to be interrupted by."""
        self.parallel: Any = None
        """How they share a step, a DataParallel or its like; None: the descents know."""

    @property
    def is_writer(self) -> bool:
        """Whether this rank writes what the run leaves: rank 0 does."""
        return self.rank == 0

    @property
    def is_interrupted(self) -> bool:
        """Whether this rank was asked to end, and the others do not know it yet."""
        return False

    def notice(self, interruption: BaseException) -> None:
        """This rank is asked to end: all ranks agree on it at their next exchange."""
        self.interruption = interruption

    def agree_on_stop(self, stop_reason: str | None) -> str | None:
        """At a safe point: why all ranks stop; None: none of them would.

        Args:
            stop_reason: why this rank would stop; None: it would not.
        """
        return stop_reason

    def agree_on_saves(self, saves: int) -> int:
        """At a safe point: how many states all ranks save, as rank 0 says.

        Args:
            saves: how many this rank would save.
        """
        return saves

    def clock(self) -> float:
        """Seconds, the same on all ranks, for decisions that depend on time."""
        return monotonic()

    def rows(self, size: int, of: int) -> slice:
        """The rows of a batch that are this rank's share.

        A whole batch is cut into shares that differ by one sample at most. A short one, at the end
        of a pass, is cut at the same places: so the shares of two ranks are the micro-batches of
        half the batch size, whatever the length of the data set. A share may be empty.

        Args:
            size: the number of samples of the batch.
            of: the number of samples of a whole batch.

        >>> [Ranks(rank, 3).rows(5, of=7) for rank in range(3)]
        [slice(0, 3, None), slice(3, 5, None), slice(5, 5, None)]
        """
        least, more = divmod(of, self.size)
        start = self.rank * least + min(self.rank, more)
        stop = start + least + (self.rank < more)
        return slice(min(start, size), min(stop, size))

    def block(self, count: int) -> slice:
        """Which of so many batches this rank evaluates: neighbours, so that blocks can be joined.

        >>> [Ranks(rank, 3).block(5) for rank in range(3)]
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
        """
        return self.rows(count, of=count)

    def exchange(self, point: Point, number: float = 0.0) -> list[float]:
        """Send all ranks a number, and where this one is; what each sent, in their order."""
        return self.start_exchange(point, number)()

    def start_exchange(self, point: Point, number: float = 0.0) -> Callable[[], list[float]]:
        """The same without waiting: what is returned is called, once, before the next exchange."""
        return lambda: [number]

    def total(self, number: float) -> float:
        """The sum of the numbers that the ranks give, in the order of the ranks."""
        return sum(self.exchange("size", number))

    def gather(self, value: Any) -> list[Any]:
        """What each rank gives, in the order of the ranks."""
        return [value]

    def sync_buffers(self, model: nn.Module) -> None:
        """Give all ranks the buffers that the model has on rank 0."""

    def check_replicas(self, weights: list[torch.Tensor]) -> None:
        """Raises PluginError if the ranks do not have the same weights, to the bit."""

    def whole_weights(self, model: nn.Module) -> AbstractContextManager[None]:
        """Inside, each rank can call a sharded model by itself, as often as it likes."""
        return nullcontext()


_alone = Ranks()
_current: Ranks = _alone


def current_ranks() -> Ranks:
    """The ranks that this process trains with.

    >>> current_ranks().size
    1
    """
    return _current


@contextmanager
def train_with(ranks: Ranks) -> Iterator[Ranks]:
    """While inside, this process is one of these ranks.

    >>> with train_with(Ranks(1, 2)):
    ...     current_ranks().is_writer
    False
    """
    global _current
    before, _current = _current, ranks
    try:
        yield ranks
    finally:
        _current = before
