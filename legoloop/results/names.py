"""Suggestions for a misspelt name among many."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from legoloop.core.suggestions import did_you_mean


def nearest(wrong: str, names: Iterable[str], otherwise: Iterable[str]) -> str:
    """A hint for the end of an error message.

    Suggests a name that ends with the wrong one, else a similar one; if there is neither, lists
    the names in ``otherwise``, which are fewer than all.

    >>> nearest("lr", ["model.dropout", "optimizer.lr", "seed"], ["seed"])
    'did you mean optimizer.lr?'
    >>> nearest("depth", ["model.dropout", "optimizer.lr", "seed"], ["seed"])
    'there are seed'
    """
    names = list(names)
    ending = [name for name in names if name.endswith((f".{wrong}", f"/{wrong}"))]
    close = ending[:1] or get_close_matches(wrong, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else did_you_mean(wrong, otherwise)
