"""Names for values that come without: the items of a tuple, the fields of a dataclass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from legoloop.core.arguments import require_key
from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.nested import is_namedtuple, opened
from legoloop.core.text import shown

Names = str | list[str | None] | Mapping[str, str | int] | None


def check_names(names: Any, argument: str) -> None:
    """Raises ArgumentError for what is no name, list of names, or mapping of names to places.

    >>> check_names(3, "output")
    Traceback (most recent call last):
    legoloop.core.errors.ArgumentError: output is 3; give a name, a list of names, or a mapping of \
names to keys or positions
    """
    if isinstance(names, str | None):
        return
    if isinstance(names, Mapping):
        fits = all(isinstance(place, str | int) for place in names.values())
    else:
        fits = isinstance(names, list | tuple) and all(isinstance(n, str | None) for n in names)
    if not fits or not names:
        raise ArgumentError(
            f"is {shown(names)}",
            argument=argument,
            remedy="give a name, a list of names, or a mapping of names to keys or positions",
        )


def named(value: Any, names: Names, argument: str, whose: str) -> dict[str, Any]:
    """A value, or what it holds, as a dict.

    Args:
        value: a mapping, dataclass or namedtuple, whose entries have names; a plain list or tuple,
            whose entries have positions; or one thing.
        names: ``None``: the names that the entries have; a name: of that entry, or of the one
            thing; a list: of those entries, or of positions, where None leaves one out and so do
            missing ones at the end; a mapping: where the entry of each name is found.
        argument: what the messages call the names.
        whose: what they call the value.

    Raises DataError for a value without such entries.

    >>> named((1, 2), ["image", "target"], "names", "a sample")
    {'image': 1, 'target': 2}
    >>> named({"out": 1, "aux": 2}, {"logits": "out"}, "output", "the output")
    {'logits': 1}
    >>> named(1, "logits", "output", "the output")
    {'logits': 1}
    """
    if _has_names(value):
        inside = opened(value)
        assert inside is not None
        entries = dict(zip(inside.keys, inside.values, strict=True))
        if names is None:
            return entries
        return {name: require_key(entries, key, whose) for name, key in _places(names).items()}
    if isinstance(value, list | tuple):
        if isinstance(names, list | tuple | Mapping):
            return _by_position(value, names, argument, whose)
    elif isinstance(names, str):
        return {names: value}
    elif isinstance(names, list | tuple) and len(names) == 1:
        return {str(names[0]): value}
    raise DataError(f"{whose} is {_described(value)}; {_remedy(value, argument)}")


def _has_names(value: Any) -> bool:
    is_instance = is_dataclass(value) and not isinstance(value, type)
    return isinstance(value, Mapping) or is_namedtuple(value) or is_instance


def _places(names: Any) -> Mapping[str, Any]:
    if isinstance(names, str):
        return {names: names}
    return names if isinstance(names, Mapping) else {name: name for name in names if name}


def _by_position(value: Any, names: Any, argument: str, whose: str) -> dict[str, Any]:
    places = names
    if not isinstance(names, Mapping):
        places = {name: place for place, name in enumerate(names) if name is not None}
    for name, place in places.items():
        if not isinstance(place, int) or not -len(value) <= place < len(value):
            raise DataError(
                f"{whose} is {_described(value)}, in which {argument} looks for '{name}' at "
                f"{place!r}; {_remedy(value, argument)}"
            )
    return {name: value[place] for name, place in places.items()}


def _described(value: Any) -> str:
    kind = type(value).__name__
    return f"a {kind} of {len(value)}" if isinstance(value, list | tuple) else f"a {kind}"


def _remedy(value: Any, argument: str) -> str:
    if isinstance(value, list | tuple):
        return f"give the names of its values, {argument}=[…]"
    return f"give its name, {argument}=…"
