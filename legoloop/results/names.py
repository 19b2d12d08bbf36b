"""The nearest of many names that would have been right."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from legoloop.core.suggestions import did_you_mean


def nearest(wrong: str, names: Iterable[str], otherwise: Iterable[str]) -> str:
    """A clause for the end of an error message.

    Names that end with the wrong one come first, then those that look like it; where there is
    neither, the few of ``otherwise`` are told instead of all.

    >>> nearest("lr", ["model.dropout", "optimizer.lr", "seed"], ["seed"])
    'did you mean optimizer.lr?'
    >>> nearest("depth", ["model.dropout", "optimizer.lr", "seed"], ["seed"])
    'there are seed'
    """
    names = list(names)
    ending = [name for name in names if name.endswith((f".{wrong}", f"/{wrong}"))]
    close = ending[:1] or get_close_matches(wrong, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else did_you_mean(wrong, otherwise)
