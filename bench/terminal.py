"""A terminal to draw bars on, that nobody looks at."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout


@contextmanager
def a_terminal() -> Iterator[None]:
    """What is printed goes to one, so that bars are drawn as if somebody looked on."""
    reader, writer = pty.openpty()
    eater = subprocess.Popen(
        [sys.executable, "-S", "-c", "import os\nwhile os.read(0, 65536): pass"],
        stdin=reader,
        stderr=subprocess.DEVNULL,
    )
    os.close(reader)
    os.environ.setdefault("TERM", "xterm")
    os.environ.setdefault("COLUMNS", "100")
    try:
        with open(writer, "w") as screen, redirect_stdout(screen), redirect_stderr(screen):
            yield
    finally:
        eater.wait()
