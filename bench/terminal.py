"""Pseudo-terminals: one that nobody looks at, and one whose screen can be read."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any


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


def screen_of(
    command: Sequence[str],
    columns: int,
    lines: int = 50,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    on_change: Callable[[Any, subprocess.Popen[bytes]], object] | None = None,
) -> tuple[int, Any]:
    """Run a command on a terminal of this size: its exit status, and the screen that it leaves.

    Args:
        command: what is run, such as ``[sys.executable, "-m", "legoloop.run"]``.
        columns: the width, in characters.
        lines: the height.
        cwd: the folder that it runs in; None: the present one.
        env: all of its environment; None: that of this process.
        on_change: is given the screen, a ``pyte.Screen``, and the process, whenever something was
            printed; the lines of the screen are its ``display``.
    """
    import pyte

    screen = pyte.Screen(columns, lines)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (lines, columns))
    environment = {**(os.environ if env is None else env), "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=environment
    )
    os.close(theirs)
    try:
        while shown := os.read(ours, 65536):
            # pyte does not know what is faint.
            stream.feed(shown.replace(b"\x1b[2m", b"\x1b[90m"))
            if on_change is not None:
                on_change(screen, process)
    except OSError:  # how Linux says that the other end was closed
        pass
    finally:
        os.close(ours)
    return process.wait(), screen
