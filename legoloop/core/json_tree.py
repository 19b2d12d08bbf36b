"""Trees as JSON has them, which knows no keys but texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ITEMS = "__items__"
"""Marks a mapping that is written as pairs, since some of its keys are no texts."""


def encoded(value: Any) -> Any:
    """A tree as JSON can hold it.

    >>> encoded({"weights": {0: 1.0, 1: 2.0}})
    {'weights': {'__items__': [[0, 1.0], [1, 2.0]]}}
    """
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value) and ITEMS not in value:
            return {key: encoded(item) for key, item in value.items()}
        return {ITEMS: [[key, encoded(item)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [encoded(item) for item in value]
    return value


def decoded(value: Any) -> Any:
    """The tree that ``encoded`` was given; the value itself if nothing in it is encoded.

    >>> decoded(encoded({"weights": {0: 1.0, 1: 2.0}}))
    {'weights': {0: 1.0, 1: 2.0}}
    """
    return _decoded(value) if _holds_items(value) else value


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {ITEMS}:
            return {key: _decoded(item) for key, item in value[ITEMS]}
        return {key: _decoded(item) for key, item in value.items()}
    return [_decoded(item) for item in value] if isinstance(value, list) else value


def _holds_items(value: Any) -> bool:
    """Whether there is a mapping that is written as pairs: rare, and quick to find out."""
    level = [value]
    while level:
        inner: list[Any] = []
        for each in level:
            kind = type(each)  # what is read from JSON has no subclasses
            if kind is dict:
                if ITEMS in each:
                    return True
                inner.extend(each.values())
            elif kind is list:
                inner.extend(each)
        level = inner
    return False
