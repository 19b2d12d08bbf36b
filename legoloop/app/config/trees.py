"""The configuration as a tree: plain, resolved, and as it stands after later changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

Tree = dict[str, Any]


def plain(tree: DictConfig) -> Tree:
    """The tree as dicts, lists and values, every interpolation resolved."""
    return OmegaConf.to_container(tree, resolve=True, throw_on_missing=True)  # type: ignore[return-value]


def leaves(tree: DictConfig, path: str = "") -> Iterator[str]:
    """The dotted paths of the values of a tree, none of them resolved.

    >>> list(leaves(OmegaConf.create({"a": 1, "b": {"c": "${a}", "d": {}}})))
    ['a', 'b.c', 'b.d']
    """
    for key, value in tree.items_ex(resolve=False):
        here = path + str(key)
        if isinstance(value, DictConfig) and not value._is_none() and len(value):
            yield from leaves(value, f"{here}.")
        else:
            yield here


def at(tree: Tree, path: str) -> Any:
    """The part of a plain tree at a dotted path."""
    part: Any = tree
    for key in path.split("."):
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


class CurrentTree:
    """The resolved tree with the values that somebody set after it was composed.

    ``read`` gives the values as they are now. What was set travels through interpolations:
    ``num_epochs`` set late reaches every ``${num_epochs}``.

    >>> values = {"a": 1, "b": 1}
    >>> current = CurrentTree(OmegaConf.create({"a": 1, "b": "${a}"}), read=lambda: values)
    >>> values["a"] = 2
    >>> current()
    {'a': 2, 'b': 2}
    """

    def __init__(self, raw: DictConfig, read: Callable[[], Tree]) -> None:
        self._raw = raw
        self._read = read
        self.composed = plain(raw)
        self._known, self._current = self.composed, self.composed

    def __call__(self) -> Tree:
        """The tree as it stands."""
        now = self._read()
        if now != self._known:
            self._current = plain(self.unresolved())
            self._known = now
        return self._current

    def at(self, path: str) -> Any:
        """The part of the tree at a dotted path."""
        return at(self(), path)

    @property
    def is_changed(self) -> bool:
        """Whether somebody set a value after composing."""
        return self._read() != self.composed

    def unresolved(self) -> DictConfig:
        """The tree as it stands, its interpolations as they were written."""
        changed = self._raw.copy()
        for path, value in _changes(self.composed, self._read()):
            OmegaConf.update(changed, path, value, force_add=True)
        return changed


def _changes(before: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves that differ, by dotted path."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key, value in now.items():
            deeper = f"{path}.{key}" if path else str(key)
            yield from _changes(before.get(key, _ABSENT), value, deeper)
    elif before is _ABSENT or before != now:
        yield path, now


_ABSENT = object()
