"""What many runs have in common, in memory once: keys, versions, and most of a configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from legoloop.core.flatten import flatten_config

_SMALL = frozenset({type(None), bool, int})
"""What is not worth sharing."""


class SharedRow(Mapping[str, Any]):
    """A mapping whose keys belong to all rows with the same ones; it has only the values.

    Args:
        places: where in the values that of a key is.
        values: one a key.

    >>> dict(SharedRow({"seed": 0, "lr": 1}, (3, 0.1)))
    {'seed': 3, 'lr': 0.1}
    """

    __slots__ = ("_places", "_values")

    def __init__(self, places: Mapping[str, int], values: tuple[Any, ...]) -> None:
        self._places = places
        self._values = values

    def __getitem__(self, key: str) -> Any:
        return self._values[self._places[key]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __repr__(self) -> str:
        return repr(dict(self))

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or the default."""
        place = self._places.get(key)
        return default if place is None else self._values[place]


class Columns:
    """The values of many mappings, a key at a time.

    >>> rows = [SharedRow({"lr": 0}, (0.1,)), SharedRow({"lr": 0}, (0.2,)), {"lr": 0.3}, {}]
    >>> Columns(rows).column("lr", None)
    [0.1, 0.2, 0.3, None]
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._rows = rows
        shared = [row for row in rows if isinstance(row, SharedRow)]
        places = shared[0]._places if shared and len(shared) == len(rows) else None
        have_same_keys = all(row._places is places for row in shared)
        self._places = places if have_same_keys else None
        self._values = [row._values for row in shared]

    def column(self, key: str, default: Any) -> list[Any]:
        """The value of a key in each row, or the default."""
        if self._places is None:
            return [row.get(key, default) for row in self._rows]
        if key not in self._places:
            return [default] * len(self._rows)
        place = self._places[key]
        return [values[place] for values in self._values]


class Sharing:
    """Gives equal values, of whatever is read from now on, the same memory.

    They must not be changed afterwards.

    >>> sharing = Sharing()
    >>> sharing.value(["a"]) is sharing.value(["a"])
    True
    """

    def __init__(self) -> None:
        self._layouts: dict[tuple[str, ...], dict[str, int]] = {}
        self._texts: dict[str, str] = {}
        self._values: dict[str, Any] = {}
        self._parts: dict[tuple[str, str], dict[str, Any]] = {}

    def row(self, values: Mapping[str, Any]) -> SharedRow:
        """A mapping with the same keys and values, in the same order."""
        keys = tuple(values)
        places = self._layouts.get(keys)
        if places is None:
            places = {self.value(key): place for place, key in enumerate(keys)}
            self._layouts[tuple(places)] = places
        texts, value = self._texts, self.value
        shared = [
            texts.setdefault(each, each)
            if (kind := type(each)) is str
            else (each if kind in _SMALL else value(each))
            for each in values.values()
        ]
        return SharedRow(places, tuple(shared))

    def flat(self, tree: Mapping[str, Any]) -> SharedRow:
        """A configuration by dotted key; a group that was seen before is not looked at again.

        >>> dict(Sharing().flat({"optimizer": {"lr": 0.1}, "seed": 0}))
        {'optimizer.lr': 0.1, 'seed': 0}
        """
        found: dict[str, Any] = {}
        for key, value in tree.items():
            if not isinstance(value, dict) or not value:
                found[key] = value
                continue
            name = key, repr(value)
            if name not in self._parts:
                self._parts[name] = dict(flatten_config(value, f"{key}."))
            found |= self._parts[name]
        return self.row(found)

    def value(self, value: Any) -> Any:
        """An equal value: the first one that was given."""
        kind = type(value)
        if kind is str:
            return self._texts.setdefault(value, value)
        if kind in _SMALL:
            return value
        return self._values.setdefault(repr(value), value)
