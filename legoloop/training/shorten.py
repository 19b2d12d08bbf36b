"""Long lists of names in messages."""

from __future__ import annotations

from collections.abc import Sequence

MAX_SHOWN = 8


def shorten(names: Sequence[object]) -> str:
    """A list for a message, cut after the first MAX_SHOWN.

    >>> shorten(range(20))
    '0, 1, 2, 3, 4, 5, 6, 7, … (20 in all)'
    """
    shown = ", ".join(map(str, names[:MAX_SHOWN]))
    return shown if len(names) <= MAX_SHOWN else f"{shown}, … ({len(names)} in all)"
