"""Values in nested containers, such as the columns of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import torch
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import SUPPORTED_NODES

# Tuples, since every column is asked, and a union would be made anew each time.
PLAIN = (str, bytes, int, float)
ATOMS = (torch.Tensor, *PLAIN)
LEAVES = frozenset((*PLAIN, bool, type(None)))
"""Types of which there are many in a state, and which hold nothing."""
SEQUENCES = (list, tuple)


class Columns(list[Any]):
    """A list of columns that belong together, such as two views of each sample.

    ``collate`` makes it of the lists and tuples in records. Any other list with as many entries as
    the batch has samples holds an entry a sample.

    >>> Columns([torch.zeros(3, 2), torch.ones(3, 2)])[1].shape
    torch.Size([3, 2])
    """


class Opened(NamedTuple):
    """What a container holds, by which keys, and how to make one like it of other values."""

    keys: Sequence[Any]
    values: Sequence[Any]
    remade: Callable[[list[Any]], Any]


def opened(container: Any) -> Opened | None:
    """What a container holds; None for what is no container.

    Containers are mappings, lists, tuples, dataclasses, and types that torch's pytree knows
    (``torch.utils._pytree.register_pytree_node``).

    >>> keys, values, remade = opened({"a": 1, "b": 2})
    >>> keys, values, remade([3, 4])
    (['a', 'b'], [1, 2], {'a': 3, 'b': 4})
    """
    if isinstance(container, ATOMS):
        return None
    kind = type(container)
    is_mapping = isinstance(container, Mapping)
    if kind not in (dict, list, tuple) and kind in SUPPORTED_NODES:
        values, context = SUPPORTED_NODES[kind].flatten_fn(container)
        unflatten = SUPPORTED_NODES[kind].unflatten_fn
        keys = list(container) if is_mapping else range(len(values))
        return Opened(keys, values, lambda others: unflatten(others, context))
    if is_mapping:
        names = list(container)
        return Opened(
            names,
            [container[name] for name in names],
            lambda others: with_items(container, dict(zip(names, others, strict=True))),
        )
    if isinstance(container, SEQUENCES):
        places = container._fields if is_namedtuple(container) else range(len(container))  # type: ignore[union-attr]
        return Opened(places, container, lambda others: with_items(container, others))
    if is_dataclass(container) and not isinstance(container, type):
        names = [field.name for field in fields(container)]
        return Opened(
            names,
            [getattr(container, name) for name in names],
            lambda others: _with_fields(container, dict(zip(names, others, strict=True))),
        )
    return None


def is_one(value: Any) -> bool:
    """Whether a batch has it as one thing: a list of texts or numbers, or a PackedSequence.

    >>> is_one(["a", "b"]), is_one([torch.ones(1)])
    (True, False)
    """
    if not isinstance(value, SEQUENCES):
        return False
    return isinstance(value, PackedSequence) or (bool(value) and isinstance(value[0], PLAIN))


def map_nested(
    function: Callable[[Any], Any], value: Any, is_leaf: Callable[[Any], bool] = is_one
) -> Any:
    """The same containers with ``function`` applied to what they hold, however deep.

    Args:
        function: is called with each value that is no container.
        value: a container that ``opened`` can open, or any other value.
        is_leaf: whether a container is a value itself.

    >>> map_nested(torch.numel, {"a": torch.ones(2), "b": [torch.ones(3), (torch.ones(4),)]})
    {'a': 2, 'b': [3, (4,)]}
    """
    if isinstance(value, torch.Tensor) or is_leaf(value) or (inside := opened(value)) is None:
        return function(value)
    return inside.remade([map_nested(function, inner, is_leaf) for inner in inside.values])


def moved_to(device: torch.device, value: Any) -> Any:
    """The value with everything in it that has a ``to`` method moved to the device.

    >>> moved_to(torch.device("meta"), {"views": [torch.ones(1)], "name": "a"})["views"][0].device
    device(type='meta')
    """

    def moved(item: Any) -> Any:
        if isinstance(item, torch.Tensor):
            return item if item.device == device else item.to(device, non_blocking=True)
        return item.to(device) if callable(getattr(item, "to", None)) else item

    return map_nested(moved, value, _is_one_or_has("to"))


def pinned(value: Any) -> Any:
    """The value with everything on the host that can be pinned in pinned memory."""

    def pin(item: Any) -> Any:
        if isinstance(item, torch.Tensor) and item.device.type != "cpu":
            return item
        return item.pin_memory() if callable(getattr(item, "pin_memory", None)) else item

    return map_nested(pin, value, _is_one_or_has("pin_memory"))


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
    """Every tensor in nested containers, with the keys that lead to it.

    >>> [name for name, _ in named_tensors({"a": {"b": torch.ones(1)}, "c": [torch.ones(1)]})]
    ['a.b', 'c.0']
    """
    if isinstance(value, torch.Tensor):
        yield path, value
    elif (inside := opened(value)) is not None:
        for key, inner in zip(inside.keys, inside.values, strict=True):
            if type(inner) not in LEAVES:
                yield from named_tensors(inner, f"{path}.{key}" if path else str(key))


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


def _with_fields(instance: Any, values: Mapping[str, Any]) -> Any:
    """A copy of a dataclass, frozen ones too; it is not constructed anew."""
    like = copy(instance)
    for name, value in values.items():
        object.__setattr__(like, name, value)
    return like


def _is_one_or_has(method: str) -> Callable[[Any], bool]:
    """True for a dataclass that knows how to do it itself, too."""
    return lambda value: is_one(value) or (is_dataclass(value) and hasattr(value, method))
