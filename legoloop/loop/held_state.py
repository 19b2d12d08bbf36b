"""The states of what plugins hold: losses, transforms, and whatever else has a ``state_dict``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import nn

from legoloop.core.errors import PluginError
from legoloop.core.nested import named_tensors
from legoloop.loop.plugin import State
from legoloop.loop.references import attributes

log = logging.getLogger("legoloop")

MAX_ITEMS = 256
"""A larger container holds data, not parts."""

OWN_OF_MODULES = frozenset(vars(nn.Module()))
"""The attributes that torch gives every module, its submodules and hooks among them."""


def held_objects(holders: Mapping[str, object], but: Iterable[object] = ()) -> dict[str, object]:
    """The objects that some others hold, however deep, by the shortest path to each.

    Paths lead through attributes, containers, partials, bound methods and what functions close
    over. The holders themselves, submodules and what the standard library defines are left out, and
    so is what ``but`` has.

    >>> class Transform:
    ...     def __init__(self, inner): self.inner = inner
    >>> class Plugin:
    ...     def __init__(self): self.transforms = [Transform(Transform(None))]
    >>> list(held_objects({"augment": Plugin()}))
    ['augment.transforms.0', 'augment.transforms.0.inner']
    """
    seen = {id(known) for known in (*holders.values(), *but)}
    found: dict[str, object] = {}
    level = [(name, holder) for name, holder in sorted(holders.items())]
    while level:
        inner: list[tuple[str, object]] = []
        for path, value in level:
            for name, item in _inside(value):
                if id(item) in seen or _is_atom(item):
                    continue
                seen.add(id(item))
                at = f"{path}.{name}" if name else path
                inner.append((at, item))
                if not _is_passed_through(item):
                    found[_free(at, found)] = item
                if isinstance(item, nn.Module):
                    for submodule in item.modules():
                        seen.add(id(submodule))
        level = inner
    return found


HeldStates = dict[str, State | None]
"""The state of each part by its path; None for one that is empty or that a plugin saves."""


class HeldState:
    """Saves and loads what the plugins of a host hold and do not save themselves.

    Args:
        plugins (Mapping[str, object]): the plugins by name.
        host (object): the host, to which a plugin may refer.
    """

    def __init__(self, plugins: Mapping[str, object], host: object) -> None:
        self.plugins = plugins
        self.host = host

    def parts(self) -> dict[str, Any]:
        """Everything held that has a state, by its path."""
        return {
            path: part
            for path, part in held_objects(self.plugins, but=[self.host]).items()
            if all(callable(getattr(part, m, None)) for m in ("state_dict", "load_state_dict"))
        }

    def state_dicts(self) -> tuple[dict[str, State], HeldStates]:
        """The states of the plugins; and of each part, or None if a plugin saves it."""
        parts = self.parts()
        with _noting_calls(parts.values()) as asked:
            plugins = {
                name: plugin.state_dict()
                for name, plugin in self.plugins.items()
                if hasattr(plugin, "state_dict")
            }
        memory = {_address(tensor) for _, tensor in named_tensors(plugins)}
        held: HeldStates = dict.fromkeys(parts)
        for path, part in parts.items():
            if id(part) not in asked and not _is_saved(state := part.state_dict(), memory):
                held[path] = state
        return plugins, held

    def load_state_dict(self, held: HeldStates, strict: bool) -> None:
        """Load the states of the parts.

        Args:
            held: what ``state_dicts`` gave.
            strict: whether a part on one side alone is an error, or said in a warning.

        Raises PluginError if it is one.
        """
        parts = self.parts()
        new = [path for path in parts.keys() - held.keys() if parts[path].state_dict()]
        gone = [path for path, state in held.items() if state and path not in parts]
        if new or gone:
            differ = "; ".join(
                (f"{path} (a {type(parts[path]).__name__}) has a state, but none is saved")
                if path in parts
                else f"the saved state has one of {path}, which is not here"
                for path in sorted([*new, *gone])
            )
            if strict:
                raise PluginError(differ)
            log.warning("%s; those on one side alone start afresh, or are dropped", differ)
        for path, state in held.items():
            if state and path in parts:
                parts[path].load_state_dict(state)


def _inside(value: Any) -> Iterator[tuple[str, Any]]:
    """What an object holds, by name; nothing for a container too large to hold parts."""
    if isinstance(value, Mapping):
        if len(value) <= MAX_ITEMS:
            yield from ((str(key), item) for key, item in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        if len(value) <= MAX_ITEMS:
            yield from ((str(number), item) for number, item in enumerate(value))
    elif isinstance(value, MethodType):
        yield "", value.__self__
        yield "", value.__func__
    elif isinstance(value, partial):
        yield from (("", value.func), ("", value.args), ("", value.keywords))
    elif isinstance(value, FunctionType):
        names = value.__code__.co_freevars
        for name, cell in zip(names, value.__closure__ or (), strict=True):
            if (inside := _in_cell(cell)) is not None:
                yield name, inside
        yield from (("", value.__defaults__), ("", value.__kwdefaults__))
    elif isinstance(value, nn.Module):
        for path, module in value.named_modules():
            for name, item in attributes(module):
                if name not in OWN_OF_MODULES:
                    yield f"{path}.{name}".removeprefix("."), item
    else:
        yield from attributes(value)


def _in_cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return None


def _is_atom(value: Any) -> bool:
    """Whether nothing of interest can be inside."""
    if _is_passed_through(value):
        return False
    if isinstance(value, type | ModuleType | torch.Tensor):
        return True
    return type(value).__module__.partition(".")[0] in sys.stdlib_module_names


def _is_passed_through(value: Any) -> bool:
    containers = Mapping | list | tuple | set | frozenset
    is_container = isinstance(value, containers | MethodType | partial | FunctionType)
    return is_container and not hasattr(value, "state_dict")


def _free(path: str, taken: Collection[str]) -> str:
    """The path, with a number if another object is at it already."""
    paths = (f"{path}#{number}" for number in count(2))
    return path if path not in taken else next(free for free in paths if free not in taken)


@contextmanager
def _noting_calls(parts: Iterable[Any]) -> Iterator[Collection[int]]:
    """The ids of the parts whose ``state_dict`` is called meanwhile.

    A method in the attributes of an object hides that of its class. It is taken out again before
    the state is made, which may be all of the attributes.
    """
    asked: set[int] = set()
    with ExitStack() as restoring:
        for part in parts:
            if hasattr(part, "__dict__"):
                restoring.callback(_note_call(part, asked))
        yield asked


def _note_call(part: Any, asked: set[int]) -> Callable[[], None]:
    own, call = vars(part), part.state_dict
    before = own.get("state_dict")

    def restore() -> None:
        own.pop("state_dict", None)
        if before is not None:
            own["state_dict"] = before

    def state_dict(*args: Any, **kwargs: Any) -> Any:
        asked.add(id(part))
        restore()
        return call(*args, **kwargs)

    own["state_dict"] = state_dict
    return restore


def _is_saved(state: Any, memory: Collection[tuple[int, torch.Size]]) -> bool:
    """Whether a state is empty, or made of tensors that are saved already."""
    if not state:
        return True
    tensors = [tensor for _, tensor in named_tensors(state)]
    return len(tensors) == len(state) and all(_address(tensor) in memory for tensor in tensors)


def _address(tensor: torch.Tensor) -> tuple[int, torch.Size]:
    is_plain = tensor.layout is torch.strided
    return (tensor.data_ptr() if is_plain else id(tensor)), tensor.shape
