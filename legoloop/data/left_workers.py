"""Workers whose loader is not closed before the interpreter exits.

At its exit multiprocessing sends each one SIGTERM and waits for it; but the first SIGTERM is what
workers ignore (``fetching.py``).
"""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Iterable
from multiprocessing.process import BaseProcess
from weakref import WeakKeyDictionary

_workers: WeakKeyDictionary[BaseProcess, int] = WeakKeyDictionary()
"""And the process that started each: a fork of it has no say in them."""


def end_at_exit(workers: Iterable[BaseProcess]) -> None:
    """Kill those of the workers that are still there when the interpreter exits."""
    _workers.update(dict.fromkeys(workers, os.getpid()))


@atexit.register
def _end_workers() -> None:
    left = [
        worker
        for worker, starter in list(_workers.items())
        if starter == os.getpid() and worker.is_alive()
    ]
    if left:  # torch's handler would take their end for a failure
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in left:
        worker.kill()
