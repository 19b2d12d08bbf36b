"""Processes that end with their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def end_with_the_parent(number: int = signal.SIGTERM, parent: int | None = None) -> None:
    """Let this process be sent a signal when its parent dies, such as the daemon of the node.

    It would go on otherwise, beside the same job that was begun again. Only Linux can.

    Args:
        number: the number of the signal.
        parent: the process that must be the parent; None: the one that is.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid() if parent is None else parent
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)
