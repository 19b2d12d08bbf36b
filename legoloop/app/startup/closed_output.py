"""A standard output that its reader has closed, as ``| head`` does."""

from __future__ import annotations

import os
import sys


def print_what_is_read(text: str) -> None:
    """Print a text; its end is dropped if nobody reads it any more."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        discard_output()


def discard_output() -> None:
    """Let nothing more be written, also not when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
