"""What a stream that people read can show: its width, colours, lines that fit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from legoloop.core.text import printable

WIDTH_OF_A_LOG = 100
"""Characters of a line where there is no terminal, unless ``COLUMNS`` says otherwise."""

Style = Literal["faint", "bold", "good", "bad"]
_CODES: Mapping[Style, str] = {"faint": "2", "bold": "1", "good": "1;32", "bad": "1;31"}


def is_terminal(stream: Any) -> bool:
    """Whether lines of the stream can be drawn anew: a terminal that is not a dumb one.

    >>> import io
    >>> is_terminal(io.StringIO()), is_terminal(None)
    (False, False)
    """
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def has_colours(stream: Any) -> bool:
    """Whether the stream is a terminal, and the user has not set ``NO_COLOR``."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def width_of(stream: Any) -> int:
    """The characters of a line: those of the terminal, else ``COLUMNS``, else 100."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (AttributeError, OSError, ValueError):
        columns = 0
    given = os.environ.get("COLUMNS", "")
    # What is not drawn on a terminal has no width of its own; one of 0 does not know it.
    return columns or (int(given) if given.isdecimal() else 0) or WIDTH_OF_A_LOG


def painted(text: str, style: Style) -> str:
    """The text as a terminal shows it in a style.

    >>> painted("0.5", "bold")
    '\\x1b[1m0.5\\x1b[0m'
    """
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def clipped(text: str, width: int) -> str:
    """One line that is no wider than the terminal; what is left out ends in an ellipsis.

    What a terminal would obey is escaped first.

    Args:
        text (str): of any origin.
        width (int): in cells; a Chinese character takes two.

    >>> clipped("val/accuracy", 20), clipped("val/accuracy", 6), clipped("\\x1b[2J", 9)
    ('val/accuracy', 'val/a…', '\\\\x1b[2J')
    """
    text = printable(text)
    if cells(text) <= width:
        return text
    while text and cells(text) > width - 1:
        text = text[: min(len(text) - 1, width - 1)]
    return text + "…" if width > 0 else ""


def cells(text: str) -> int:
    """How many cells of a terminal a printable text takes.

    >>> cells("loss"), cells("损失")
    (4, 4)
    """
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(
        0 if combining(char) else 2 if east_asian_width(char) in "FW" else 1 for char in text
    )


def clock(seconds: float) -> str:
    """A duration as a clock shows it, short ones in seconds.

    >>> clock(8.34), clock(75), clock(4000)
    ('8.3 s', '1:15', '1:06:40')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    return countdown(seconds)


def countdown(seconds: float) -> str:
    """A duration in minutes and seconds, as an estimate is shown.

    >>> countdown(4.2), countdown(4000)
    ('0:04', '1:06:40')
    """
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
