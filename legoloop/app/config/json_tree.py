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
    """The tree that ``encoded`` was given.

    >>> decoded(encoded({"weights": {0: 1.0, 1: 2.0}}))
    {'weights': {0: 1.0, 1: 2.0}}
    """
    if isinstance(value, dict):
        if value.keys() == {ITEMS}:
            return {key: decoded(item) for key, item in value[ITEMS]}
        return {key: decoded(item) for key, item in value.items()}
    return [decoded(item) for item in value] if isinstance(value, list) else value
