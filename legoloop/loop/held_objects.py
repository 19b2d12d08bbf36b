"""The objects that plugins hold: models, losses, transforms and whatever these are made of."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from itertools import count
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from legoloop.core.nested import LEAVES
from legoloop.loop.references import attributes

MAX_ITEMS = 256
"""A larger container holds data, not parts."""

OWN_OF_MODULES = frozenset(vars(nn.Module()))
"""The attributes that torch gives every module, its submodules and hooks among them."""


def held_objects(holders: Mapping[str, object], but: Iterable[object] = ()) -> dict[str, object]:
    """The objects that some others hold, however deep, by the shortest path to each.

    Paths lead through attributes, containers, partials, bound methods and what functions close
    over. The holders themselves, submodules and what the standard library defines are left out, and
    so is what ``but`` has. What a DataLoader holds begins anew with every pass; a class may name
    other attributes whose state is its own affair: ``keeps_state_of = ("loader",)``.

    >>> class Transform:
    ...     def __init__(self, inner): self.inner = inner
    >>> class Plugin:
    ...     def __init__(self): self.transforms = [Transform(Transform(None))]
    >>> list(held_objects({"augment": Plugin()}))
    ['augment.transforms.0', 'augment.transforms.0.inner']
    """
    found: dict[str, object] = {}
    for path, item in _walk(holders, but):
        kind: Any = type(item)
        if not issubclass(kind, torch.Tensor) and not _is_passed_through(kind):
            found[_free(path, found)] = item
    return found


def held_tensors(
    holders: Mapping[str, object], but: Iterable[object] = ()
) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors that some others hold in attributes and containers, however deep.

    Parameters and buffers of modules, which torch keeps elsewhere, are left out.

    >>> class Plugin:
    ...     def __init__(self): self.hidden = [torch.zeros(2)]
    >>> list(held_tensors({"memory": Plugin()}))
    [('memory.hidden.0', tensor([0., 0.]))]
    """
    for path, item in _walk(holders, but):
        if isinstance(item, torch.Tensor):
            yield path, item


def _walk(holders: Mapping[str, object], but: Iterable[object]) -> Iterator[tuple[str, Any]]:
    """All that the holders hold, once each, those at the shortest paths first."""
    seen = {id(known) for known in (*holders.values(), *but)}
    level: list[tuple[str, Any]] = sorted(holders.items())
    while level:
        inner: list[tuple[str, Any]] = []
        for path, value in level:
            kind: Any = type(value)
            for name, item in _opener(kind)(value):
                kind = type(item)
                if kind in LEAVES or id(item) in seen:  # most are, in what is logged
                    continue
                is_tensor = issubclass(kind, torch.Tensor)
                if not is_tensor and _is_atom(kind):
                    continue
                seen.add(id(item))
                at = f"{path}.{name}" if name != "" else path
                yield at, item
                if not is_tensor:
                    inner.append((at, item))
                if isinstance(item, nn.Module):
                    seen.update(map(id, item.modules()))
        level = inner


def held_modules(holders: Mapping[str, object], but: Iterable[object] = ()) -> list[nn.Module]:
    """The modules that some objects are or hold, without their submodules.

    >>> class Plugin:
    ...     def __init__(self): self.model = nn.Sequential(nn.Linear(1, 1))
    >>> held_modules({"plugin": Plugin()})
    [Sequential(
      (0): Linear(in_features=1, out_features=1, bias=True)
    )]
    """
    everything = (*holders.values(), *held_objects(holders, but).values())
    return [each for each in everything if isinstance(each, nn.Module)]


def moved_paths(
    before: Mapping[str, Iterable[object]], now: Mapping[str, Iterable[object]]
) -> dict[str, str]:
    """Which objects are those that were at other paths, found by what they have.

    The path of an object begins with the name of a plugin that holds it: with more or fewer plugins
    that is another one.

    Args:
        before: what each object had, such as the keys of its state, by a path that is gone.
        now: what each has, by a path that is new.

    >>> moved_paths({"descent.loss": {"centre"}}, {"a.loss": {"centre"}, "b.clip": {"calls"}})
    {'descent.loss': 'a.loss'}
    """
    gone = {path: set(has) for path, has in before.items()}
    new = {path: set(has) for path, has in now.items()}
    moved = {}
    for path, has in gone.items():
        alike = [other for other in new if new[other] == has]
        held_alike = [other for other in alike if _within_holder(other) == _within_holder(path)]
        is_only_one = len(alike) == 1 and [*gone.values()].count(has) == 1
        if len(held_alike) == 1 or is_only_one:
            moved[path] = (held_alike or alike)[0]
    return moved


def _within_holder(path: str) -> str:
    return path.partition(".")[2]


Contents = Iterable[tuple[object, Any]]
"""What an object holds, by name or number."""


@lru_cache(maxsize=1024)
def _opener(kind: type) -> Callable[[Any], Contents]:
    """What looks into objects of a type."""
    found = (opener for general, opener in _OPENERS.items() if issubclass(kind, general))
    return next(found, _of_object)


def _of_mapping(value: Mapping[Any, Any]) -> Contents:
    """Nothing of a container too large to hold parts."""
    if len(value) > MAX_ITEMS:
        return ()
    # A tensor that is a key, as in an optimizer's state, takes long to write out.
    return [
        (number if isinstance(key, torch.Tensor) else key, item)
        for number, (key, item) in enumerate(value.items())
    ]


def _of_collection(value: Collection[Any]) -> Contents:
    return enumerate(value) if len(value) <= MAX_ITEMS else ()


def _of_method(value: MethodType) -> Contents:
    return ("", value.__self__), ("", value.__func__)


def _of_partial(value: partial[Any]) -> Contents:
    return ("", value.func), ("", value.args), ("", value.keywords)


def _of_function(value: FunctionType) -> Contents:
    names = value.__code__.co_freevars
    for name, cell in zip(names, value.__closure__ or (), strict=True):
        if (inside := _in_cell(cell)) is not None:
            yield name, inside
    yield from (("", value.__defaults__), ("", value.__kwdefaults__))


def _of_module(value: nn.Module) -> Contents:
    for path, module in value.named_modules():
        for name, item in attributes(module):
            if name not in OWN_OF_MODULES:
                yield f"{path}.{name}".removeprefix("."), item


def _of_loader(value: DataLoader[Any]) -> Contents:
    """What it holds begins anew with every pass."""
    return ()


def _of_object(value: Any) -> Contents:
    own_affair = getattr(type(value), "keeps_state_of", ())
    return ((name, item) for name, item in attributes(value) if name not in own_affair)


_OPENERS: Mapping[Any, Callable[[Any], Contents]] = {
    Mapping: _of_mapping,
    (list, tuple, set, frozenset): _of_collection,
    MethodType: _of_method,
    partial: _of_partial,
    FunctionType: _of_function,
    nn.Module: _of_module,
    DataLoader: _of_loader,
}


def _in_cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return None


@lru_cache(maxsize=1024)
def _is_atom(kind: type) -> bool:
    """Whether nothing of interest can be inside an object of this type."""
    if _is_passed_through(kind):
        return False
    if issubclass(kind, type | ModuleType | torch.Tensor):
        return True
    return kind.__module__.partition(".")[0] in sys.stdlib_module_names


@lru_cache(maxsize=1024)
def _is_passed_through(kind: type) -> bool:
    is_container = _opener(kind) not in (_of_module, _of_loader, _of_object)
    return is_container and not hasattr(kind, "state_dict")


def _free(path: str, taken: Collection[str]) -> str:
    """The path, with a number if another object is at it already."""
    paths = (f"{path}#{number}" for number in count(2))
    return path if path not in taken else next(free for free in paths if free not in taken)
