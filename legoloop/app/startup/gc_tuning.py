"""Garbage collection, tuned for a process that imports a lot and runs once.

torch and what comes with it are more than a million objects. They are permanent, so scanning them
again and again while they are imported, and at the exit, is wasted time: a fifth of the start and
most of the exit.
"""

from __future__ import annotations

import atexit
import gc
import sys

DEFAULT = gc.get_threshold()
DEFERRED = (1_000_000, *DEFAULT[1:])
"""More objects than there are when a run begins; the jobs of a sweep, composed before, are more."""


def defer_gc() -> None:
    """For a whole process: collect garbage rarely until a run begins, and not at the exit."""
    gc.set_threshold(*DEFERRED)
    # Handlers are called in reverse: by then all that was registered later is done.
    atexit.register(_skip_last_collections)


def _skip_last_collections() -> None:
    gc.freeze()
    # A module that nobody else refers to is garbage as soon as it is no longer in sys.modules: it
    # and its functions refer to each other. One that is kept is emptied, which closes its files.
    vars(sys)["legoloop.kept_modules"] = list(sys.modules.values())


def restore_gc(is_only_run: bool) -> None:
    """A run begins; if it is the only one of the process, what is there now is permanent."""
    if gc.get_threshold() == DEFERRED:
        gc.set_threshold(*DEFAULT)
        if is_only_run:
            gc.freeze()
