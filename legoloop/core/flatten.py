"""Configurations by dotted key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_PLAIN = frozenset({str, int, float, bool, list})
"""To ask whether a value is of an abstract class takes longer than all else."""


def flatten_config(tree: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a tree by dotted key; lists and empty mappings are values.

    Args:
        tree (Mapping): mappings in mappings.
        prefix (str): stands before each key.

    >>> dict(flatten_config({"optimizer": {"lr": 0.1, "betas": [0.9, 0.99]}, "seed": 0}))
    {'optimizer.lr': 0.1, 'optimizer.betas': [0.9, 0.99], 'seed': 0}
    """
    found: list[tuple[str, Any]] = []
    _collect(tree, prefix, found)
    return iter(found)


def _collect(tree: Mapping[Any, Any], prefix: str, found: list[tuple[str, Any]]) -> None:
    for key, value in tree.items():
        kind = type(value)
        if value and (kind is dict or (kind not in _PLAIN and isinstance(value, Mapping))):
            _collect(value, f"{prefix}{key}.", found)
        else:
            found.append((f"{prefix}{key}", value))
