"""Text in messages: lists of names, and names that may hold anything."""

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


def printable(text: str, keep: str = "") -> str:
    """The text with what a terminal would obey, and not show, written as Python writes it.

    Names and values that somebody else chose may hold colours, cursor movements, line breaks that
    look like further rows, marks that reverse the direction, and bytes that are no UTF-8.

    Args:
        text (str): of any origin.
        keep (str): characters that stay as they are, such as a line break.

    >>> printable("lr \\x1b[2J"), printable("one\\ntwo")
    ('lr \\\\x1b[2J', 'one\\\\ntwo')
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode()
        for char in text
    )
