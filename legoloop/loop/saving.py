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
    >>> saving.commit(lambda: {"epoch": 1})
    {'epoch': 1}
    >>> saving.commit(lambda: {"epoch": 2})
    """

    def __init__(self) -> None:
        self.requests: list[ShouldSave] = []
        self.kept: State | None = None

    def request(self, save: ShouldSave) -> None:
        """Save at the next commit."""
        self.requests.append(save)

    def commit(self, state: Callable[[], State]) -> None:
        """Make the requested saves, each of a state of its own."""
        requests, self.requests = self.requests, []
        for request in requests:
            request.save(state())

    def drop_those_at_end(self) -> None:
        """Forget the requests that are only for the end of the training, which goes on."""
        self.requests = [request for request in self.requests if not request.only_at_end]

    def match(self, number: int) -> None:
        """Save so many states, as rank 0 does: one that does not write drops what it is given."""
        missing = number - len(self.requests)
        self.requests = [*self.requests[:number], *[ShouldSave(_dropped)] * missing]

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
