"""What the command at work knows of itself: how far it has come, and which runs are prepared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from legoloop.app.run.lifecycle import Prepared
    from legoloop.state.run_record import RunRecord


@dataclass
class CommandState:
    """One per process of the command.

    Args:
        has_composed: whether Hydra was done composing; errors before that are about the
            configuration.
        prepared: the runs whose directories are locked and that have not begun, by directory.
    """

    has_composed: bool = False
    prepared: dict[str, tuple[Prepared, RunRecord]] = field(default_factory=dict)


_current: ContextVar[CommandState] = ContextVar("legoloop_command")


def current_command() -> CommandState:
    """The state of the command at work; that of a job in a process of its own begins here."""
    try:
        return _current.get()
    except LookupError:
        state = CommandState(has_composed=True)
        _current.set(state)
        return state


@contextmanager
def new_command() -> Iterator[CommandState]:
    """A command begins; what is inside is it.

    >>> with new_command() as state:
    ...     current_command() is state
    True
    """
    token = _current.set(CommandState())
    try:
        yield _current.get()
    finally:
        _current.reset(token)
