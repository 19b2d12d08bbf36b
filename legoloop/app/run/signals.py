"""Signals that ask a process to end, as interruptions of what it does."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from legoloop.core.interruption import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def raise_at_once(interruption: Interrupted) -> None:
    """Raise the interruption where the signal came."""
    raise interruption


@contextmanager
def interruptions(on_signal: Callable[[Interrupted], None] = raise_at_once) -> Iterator[None]:
    """While inside, ``on_signal`` is given an interruption for each of ``SIGNALS``.

    A second Ctrl-C stops at once, whatever ``on_signal`` does. Python handles signals in its main
    thread alone; in any other, nothing changes.

    >>> import os
    >>> signals = []
    >>> with interruptions(signals.append):
    ...     os.kill(os.getpid(), signal.SIGTERM)
    >>> print(*signals)
    SIGTERM
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []
    here = os.getpid()

    def handler(number: int, frame: Any) -> None:
        if os.getpid() != here:
            _in_a_child(number)
            return
        if number == signal.SIGINT and signal.SIGINT in asked:
            raise Interrupted(number)
        asked.append(number)
        on_signal(Interrupted(number))

    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _in_a_child(number: int) -> None:
    """A worker that is asked to go goes, as it would without us; it is its parent that asks.

    Ctrl-C, and what a scheduler sends to all processes of a job, reaches both, and the parent may
    still need the batch that the worker is at.
    """
    if number == signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
