"""What grows with a run, such as a row an epoch, as one text in a state.

A checkpoint looks at every value of a state by itself, which takes longer with each epoch; at a
text it looks once.
"""

from __future__ import annotations

import json
from typing import Any


def as_text(values: Any) -> str:
    """Numbers, texts, lists and dicts of texts as a text; ``from_text`` gives them back exactly.

    >>> as_text([[1, {"loss": 0.1, "note": None}]])
    '[[1, {"loss": 0.1, "note": null}]]'
    """
    return json.dumps(values)


def from_text(text: Any) -> Any:
    """What ``as_text`` was given, tuples as lists; states of earlier versions have it as it is.

    >>> from_text(as_text([(1, float("inf"))])), from_text([(1, 2.0)])
    ([[1, inf]], [(1, 2.0)])
    """
    return json.loads(text) if isinstance(text, str) else text
