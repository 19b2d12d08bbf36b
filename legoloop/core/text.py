"""Lists of names in messages."""

from __future__ import annotations

from collections.abc import Iterable


def shorten(items: Iterable[object], most: int = 8, separator: str = ", ") -> str:
    """The first ``most`` of the items as text, and the number of the others.

    Args:
        items (Iterable[object]): shown by their ``str``.
        most (int): how many of them are shown.
        separator (str): stands between two of them.

    >>> shorten(["conv1", "conv2"]), shorten(range(20), most=3)
    ('conv1, conv2', '0, 1, 2, and 17 more')
    """
    texts = [str(item) for item in items]
    more = [f"and {len(texts) - most} more"] if len(texts) > most else []
    return separator.join([*texts[:most], *more])
