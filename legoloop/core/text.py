"""Text in messages: lists of names, and values that may be long or hold anything."""

from __future__ import annotations

import re
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


def shown(value: object, most: int = 100) -> str:
    """The ``repr`` of a value, of which a long one shows its beginning.

    Args:
        value (object): anything.
        most (int): how many characters of it are shown.

    >>> shown("fast"), shown("1" * 5_000, most=4)
    ("'fast'", "'111… (5,002 characters)")
    """
    return shortened(repr(value), most)


def shortened(text: str, most: int = 200) -> str:
    """A text, of which a long one is its beginning.

    >>> shortened("a" * 5_000, most=4)
    'aaaa… (5,000 characters)'
    """
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def brief(message: str, longest_word: int = 500, longest: int = 2_000) -> str:
    """A message whose endless words are cut, and which is cut itself if it is endless.

    Args:
        message (str): any text.
        longest_word (int): so many characters without a space are left whole.
        longest (int): so many characters are left whole.

    >>> brief("lr: is " + "1" * 5_000 + "; give a number", longest_word=8)
    'lr: is 11111111…; give a number'
    """
    words = re.sub(rf"([^\s;]{{{longest_word}}})[^\s;]+", r"\1…", message)
    return words if len(words) <= longest else f"{words[: longest // 2]} … {words[-longest // 4 :]}"


def in_one_line(message: object) -> str:
    """A message of several lines, or an error with one.

    >>> in_one_line(ValueError("size mismatch:\\n    2 and 3"))
    'size mismatch: 2 and 3'
    """
    return " ".join(str(message).split())


def is_number(text: str) -> bool:
    """Whether ``float`` reads it.

    >>> is_number("1e-3"), is_number("nan"), is_number("1.2.3")
    (True, True, False)
    """
    try:
        float(text)
    except ValueError:
        return False
    return True
