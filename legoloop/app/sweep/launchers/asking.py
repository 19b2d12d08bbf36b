"""Launchers that ask for the next job when there is a place for it.

A sweeper that chooses a job by how others ended knows it as late as can be: nothing waits for the
slowest job of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from legoloop.app.hydra_bridge.internals import runs_one_at_a_time
from legoloop.core.errors import ConfigError
from legoloop.core.text import shown

KEY = "hydra.sweeper.batch_size"


@runtime_checkable
class AsksForJobs(Protocol):
    """A launcher that takes jobs one by one."""

    def launch_as_asked(
        self, jobs: Iterator[tuple[int, Sequence[str]]], ended: Callable[[int], None]
    ) -> object:
        """Carry out jobs, with their numbers, each asked for when there is a place for it.

        ``ended`` is called with the number of each job that has ended, however it did, before
        another one is asked for.
        """
        ...


def batch_size_for(launcher: Any, given: Any, name: str) -> int | None:
    """How many jobs a launcher is to be given at once; None if it asks for each.

    Args:
        launcher: any of Hydra's.
        given: what the user set.
        name: of the launcher, for messages.

    Raises ConfigError where it must be given, where it would have no effect, and for a wrong one.
    """
    if given is not None and (not isinstance(given, int) or isinstance(given, bool) or given < 1):
        raise ConfigError(
            f"is {shown(given)}", key=KEY, remedy="give a whole number of at least 1, or null"
        )
    asks, is_single = isinstance(launcher, AsksForJobs), runs_one_at_a_time(launcher)
    if (asks or is_single) and given is not None:
        how = "each job when a slot is free" if asks else "one job at a time"
        raise ConfigError(f"is {given}, but {name} takes {how}", key=KEY, remedy="leave it out")
    if asks or is_single:
        return None if asks else 1
    if given is None:
        raise ConfigError(
            f"is null, but {name} takes jobs in batches, whose values are chosen at once and which "
            "wait for their slowest job",
            key=KEY,
            remedy="say how many jobs run at once, or take hydra/launcher=processes, which asks "
            "for each job when a slot is free",
        )
    return given
