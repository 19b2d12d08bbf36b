"""Values in nested dicts, lists and tuples, such as the columns of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence


class Columns(list[Any]):
    """A list of columns that belong together, such as two views of each sample.

    ``collate`` makes it of the lists and tuples in records. Any other list with as many entries as
    the batch has samples holds an entry a sample.

    >>> Columns([torch.zeros(3, 2), torch.ones(3, 2)])[1].shape
    torch.Size([3, 2])
    """


def map_nested(function: Callable[[Any], Any], value: Any) -> Any:
    """The same containers with ``function`` applied to what they hold, however deep.

    Containers are mappings, lists and tuples, whose types are kept. A list that begins with text
    or a number is no container, nor is a PackedSequence.

    >>> map_nested(torch.numel, {"a": torch.ones(2), "b": [torch.ones(3), (torch.ones(4),)]})
    {'a': 2, 'b': [3, (4,)]}
    """
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return with_items(value, {key: map_nested(function, v) for key, v in value.items()})
    if is_sequence(value):
        return with_items(value, [map_nested(function, item) for item in value])
    return function(value)


def moved_to(device: torch.device, value: Any) -> Any:
    """The value with everything in it that has a ``to`` method moved to the device.

    >>> moved_to(torch.device("meta"), {"views": [torch.ones(1)], "name": "a"})["views"][0].device
    device(type='meta')
    """

    def moved(item: Any) -> Any:
        if isinstance(item, torch.Tensor):
            return item if item.device == device else item.to(device, non_blocking=True)
        return item.to(device) if callable(getattr(item, "to", None)) else item

    return map_nested(moved, value)


def pinned(value: Any) -> Any:
    """The value with everything on the host that can be pinned in pinned memory."""

    def pin(item: Any) -> Any:
        if isinstance(item, torch.Tensor) and item.device.type != "cpu":
            return item
        return item.pin_memory() if callable(getattr(item, "pin_memory", None)) else item

    return map_nested(pin, value)


def detached(value: Any) -> Any:
    """The value with its tensors detached from their graphs.

    >>> detached({"y": [torch.ones(1, requires_grad=True)], "n": 1})
    {'y': [tensor([1.])], 'n': 1}
    """

    def detach(item: Any) -> Any:
        if isinstance(item, PackedSequence):
            return item._replace(data=item.data.detach())
        return item.detach() if isinstance(item, torch.Tensor) else item

    return map_nested(detach, value)


def named_tensors(value: Any, path: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor in nested dicts, lists and tuples, with the keys that lead to it.

    >>> [name for name, _ in named_tensors({"a": {"b": torch.ones(1)}, "c": [torch.ones(1)]})]
    ['a.b', 'c.0']
    """
    if isinstance(value, torch.Tensor):
        yield path, value
        return
    items: Any = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    for key, inner in items:
        yield from named_tensors(inner, f"{path}.{key}" if path else str(key))


def is_sequence(value: Any) -> bool:
    """Whether it is a list or a tuple that may hold tensors.

    >>> is_sequence([torch.ones(1)]), is_sequence(["a", "b"]), is_sequence("ab")
    (True, False, False)
    """
    if not isinstance(value, list | tuple) or isinstance(value, PackedSequence):
        return False
    return not (value and isinstance(value[0], str | bytes | int | float))


def is_namedtuple(value: Any) -> bool:
    """Whether it is a tuple with names.

    >>> from collections import namedtuple
    >>> is_namedtuple(namedtuple("Pair", "left right")(1, 2)), is_namedtuple((1, 2))
    (True, False)
    """
    return isinstance(value, tuple) and hasattr(value, "_fields")


def with_items(container: Any, items: Any) -> Any:
    """A container of the same type with other items: a dict for a mapping, else a list.

    >>> with_items((1, 2), [3, 4]), with_items({"a": 1}, {"a": 2})
    ((3, 4), {'a': 2})
    """
    if type(container) in (dict, list):
        return items
    if isinstance(container, Mapping):
        try:
            like: Any = copy(container)  # it may have attributes besides its items
            like.update(items)
        except Exception:  # a type that cannot be changed raises what it likes
            return items
        return like
    return type(container)(*items) if is_namedtuple(container) else type(container)(items)
