"""The objects that a plugin refers to, read from the objects themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from types import MethodType
from typing import Any


def referenced_objects(plugin: object) -> Iterator[object]:
    """Everything reachable through attributes, containers, bound methods and partials.

    Objects found in an attribute are yielded, not entered: what *they* refer to is theirs.

    >>> class Reader:
    ...     def __init__(self, source): self.sources = {"main": source}
    >>> class Meter: ...
    >>> meter = Meter()
    >>> meter in set(referenced_objects(Reader(meter)))
    True
    """
    seen: set[int] = {id(plugin)}
    for _, value in attributes(plugin):
        yield from _unpacked(value, seen)


def attributes(holder: object) -> Iterator[tuple[str, Any]]:
    """The attributes of an object by name, those in slots too.

    >>> class Holder:
    ...     __slots__ = ("loss",)
    >>> holder = Holder()
    >>> holder.loss = "mean"
    >>> dict(attributes(holder))
    {'loss': 'mean'}
    """
    yield from tuple(getattr(holder, "__dict__", {}).items())
    kind: Any = type(holder)
    for slot in _slots(kind):
        if hasattr(holder, slot):
            yield slot, getattr(holder, slot)


@lru_cache(maxsize=1024)
def _slots(kind: type) -> Sequence[str]:
    """The names of the slots of a class and its bases."""
    found = [vars(cls).get("__slots__", ()) for cls in kind.__mro__]
    names = [name for slots in found for name in ((slots,) if isinstance(slots, str) else slots)]
    return [name for name in names if name not in ("__dict__", "__weakref__")]


def _unpacked(value: Any, seen: set[int]) -> Iterator[object]:
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Mapping):
        inside: Iterator[Any] = iter((*value.keys(), *value.values()))
    elif isinstance(value, list | tuple | set | frozenset):
        inside = iter(value)
    elif isinstance(value, MethodType):
        inside = iter((value.__self__,))
    elif isinstance(value, partial):
        inside = iter((value.func, value.args, value.keywords))
    else:
        yield value
        return
    for item in inside:
        yield from _unpacked(item, seen)
