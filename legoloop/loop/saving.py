"""The saves that plugins request, made at the next safe point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from legoloop.core.nested import LEAVES
from legoloop.loop.plugin import ShouldSave, State


class Saving:
    """Collects requests to save, and hands each of them the state of the host.

    An evaluation may be interrupted at any moment; what is saved then is the state from before it,
    which ``keep`` takes.

    >>> saving = Saving()
    >>> saving.request(ShouldSave(print))
    >>> saving.commit(lambda: {"epoch": 1}, is_ending=False)
    {'epoch': 1}
    >>> saving.commit(lambda: {"epoch": 2}, is_ending=False)
    """

    def __init__(self) -> None:
        self.requests: list[ShouldSave] = []
        self.kept: State | None = None

    def request(self, save: ShouldSave) -> None:
        """Save at the next commit."""
        self.requests.append(save)

    def commit(self, state: Callable[[], State], is_ending: bool) -> None:
        """Make the requested saves, each of a state of its own.

        Args:
            state: takes it.
            is_ending: whether the training ends here.
        """
        requests, self.requests = self.requests, []
        for request in requests:
            if is_ending or not request.only_at_end:
                request.save(state())

    def counts(self) -> tuple[int, int]:
        """How many saves are requested in any case, and how many more if the training ends here."""
        at_end = sum(request.only_at_end for request in self.requests)
        return len(self.requests) - at_end, at_end

    def match(self, number: int, is_ending: bool) -> None:
        """Save so many states, as rank 0 does: one that does not write drops what it is given."""
        due = [each for each in self.requests if is_ending or not each.only_at_end]
        self.requests = [*due[:number], *[ShouldSave(_dropped)] * (number - len(due))]

    def keep(self, state: State) -> None:
        """Keep a state while plugins go on; no tensor of it changes while they only evaluate."""
        self.kept = _copied(state)

    def discard(self) -> None:
        """Drop the state that was kept."""
        self.kept = None


def _dropped(state: State) -> None:
    """What a rank saves that does not write."""


def _copied(state: Any) -> Any:
    """The containers are copied, the tensors shared."""
    if isinstance(state, dict):
        return {
            key: value if type(value) in LEAVES else _copied(value) for key, value in state.items()
        }
    if isinstance(state, list | tuple):
        return type(state)(map(_copied, state))
    return state
