"""What a process imports stays: looking for garbage among it is most of what it takes to end.

It is also a fifth of what it takes to start. torch and what comes with it are more than a million
objects, which Python looks through again and again while they are made, and at the exit.
"""

from __future__ import annotations

import atexit
import gc
import io
from contextlib import suppress

USUALLY = gc.get_threshold()
RARELY = (1_000_000, *USUALLY[1:])
"""More than there is when a run begins; the jobs of a sweep, all composed before, are more."""
FILES = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)


def defer_gc() -> None:
    """For a whole process: look for garbage rarely until a run begins, and not at the exit.

    Threads are waited for, handlers of ``atexit`` are called and open files are flushed as ever;
    whatever nothing refers to goes. What refers to itself in a circle, does not.
    """
    gc.set_threshold(*RARELY)
    # Handlers are called in reverse: by then all that was registered later is done.
    atexit.register(_leave_it)


def restore_gc(is_only_run: bool) -> None:
    """A run begins; if it is the only one of the process, what is there now stays until its end."""
    if gc.get_threshold() == RARELY:
        gc.set_threshold(*USUALLY)
        if is_only_run:
            gc.freeze()


def _leave_it() -> None:
    gc.unfreeze()
    _flush_files()
    gc.freeze()


def _flush_files() -> None:
    """A file that nobody closed would be flushed as garbage; the text first, then its bytes."""
    kinds = frozenset(FILES)
    files = [thing for thing in gc.get_objects() if type(thing) in kinds]
    for file in sorted(files, key=lambda file: FILES.index(type(file))):
        with suppress(OSError, ValueError):  # closed, or gone
            file.flush()
