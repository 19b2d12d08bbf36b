"""Dotted paths into a tree of mappings and lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Tree = dict[str, Any]
"""A configuration as dicts, lists and values."""


def get_path(tree: Mapping[str, Any], path: str) -> Any:
    """The part of a tree at a dotted path. Raises KeyError if there is none.

    >>> get_path({"optimizer": {"lr": 0.1}}, "optimizer.lr")
    0.1
    """
    part: Any = tree
    for key in path.split("."):
        part = part[key]
    return part


def find_path(tree: Mapping[str, Any], path: str, default: Any = None) -> Any:
    """The part of a tree at a dotted path, or the default.

    >>> find_path({"optimizer": {"lr": 0.1}}, "optimizer.betas.first") is None
    True
    """
    part: Any = tree
    for key in path.split("."):
        if not isinstance(part, Mapping) or key not in part:
            return default
        part = part[key]
    return part


def is_under(key: str, above: str) -> bool:
    """Whether a dotted key is another one, or lies in it.

    >>> is_under("optimizer.lr", "optimizer"), is_under("optimizer_two", "optimizer")
    (True, False)
    """
    return f"{key}.".startswith(f"{above}.")


def overlaps(key: str, other: str) -> bool:
    """Whether one of two dotted keys is the other, or lies in it.

    >>> overlaps("optimizer", "optimizer.lr"), overlaps("optimizer.lr", "optimizer.betas")
    (True, False)
    """
    return is_under(key, other) or is_under(other, key)


_ABSENT = object()


def changes(before: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The values of ``now`` that ``before`` has not, by dotted path.

    >>> list(changes({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3, "d": 4}}))
    [('b.c', 3), ('b.d', 4)]
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key, value in now.items():
            deeper = f"{path}.{key}" if path else str(key)
            yield from changes(before.get(key, _ABSENT), value, deeper)
    elif before is _ABSENT or before != now:
        yield path, now
