"""The nearest of the names that would have been right."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(wrong: str, right: Iterable[object]) -> str:
    """A clause for the end of an error message.

    >>> did_you_mean("bacth_size", ["batch_size", "num_workers"])
    'did you mean batch_size?'
    >>> did_you_mean("depth", ["batch_size", "num_workers"])
    'there are batch_size, num_workers'
    """
    names = [str(name) for name in right]
    close = get_close_matches(wrong, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"there are {', '.join(names)}" if names else "there are none"
