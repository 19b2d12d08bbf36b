"""What the exit status of a process says of its end."""

from __future__ import annotations

import signal


def cause_of_death(status: int) -> str:
    """What is known of a process that ended without a word, from its exit status.

    >>> cause_of_death(9)
    'ended with exit status 9 without a word'
    >>> cause_of_death(-signal.SIGSEGV)
    'killed by SIGSEGV'
    >>> cause_of_death(-signal.SIGKILL)
    'killed by SIGKILL (out of memory?)'
    """
    if status >= 0:
        return f"ended with exit status {status} without a word"
    name = next((known.name for known in signal.Signals if known == -status), f"signal {-status}")
    return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
