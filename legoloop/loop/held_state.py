"""The states of what plugins hold: losses, transforms, and whatever else has a ``state_dict``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from legoloop.core.errors import PluginError
from legoloop.core.nested import named_tensors
from legoloop.loop.held_objects import held_objects, moved_paths
from legoloop.loop.plugin import State

log = logging.getLogger("legoloop")

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
            if all(hasattr(type(part), method) for method in ("state_dict", "load_state_dict"))
        }

    def reject_unloadable(self) -> None:
        """Raises PluginError for what has a state that no plugin saves, and cannot load it."""
        halves = {
            path: held
            for path, held in held_objects(self.plugins, but=[self.host]).items()
            if hasattr(type(held), "state_dict")
            and not hasattr(type(held), "load_state_dict")
            and not type(held).__module__.startswith("legoloop.")
        }
        if not halves:
            return
        with _noting_calls(halves.values()) as asked:
            for plugin in self.plugins.values():
                if hasattr(plugin, "state_dict"):
                    plugin.state_dict()
        for path, held in halves.items():
            if id(held) not in asked:
                raise PluginError(
                    f"{path}, a {type(held).__name__}, has state_dict but no load_state_dict, so "
                    "that a resumed run would begin anew with it",
                    remedy="define both",
                )

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
            strict: whether a part on one side alone is an error, or said in a warning. If not, one
                that another plugin holds now, so that its path is another, is found.

        Raises PluginError if it is one.
        """
        parts = self.parts()
        gone = {path: state for path, state in held.items() if state and path not in parts}
        new = self._saved_by_none() if parts.keys() - held.keys() else {}
        new = {path: state for path, state in new.items() if path not in held}
        moved = {} if strict else moved_paths(gone, new)
        one_sided = sorted((gone.keys() - moved.keys()) | (new.keys() - set(moved.values())))
        if one_sided:
            differ = "; ".join(
                (f"{path} (a {type(parts[path]).__name__}) has a state, but none is saved")
                if path in parts
                else f"the saved state has one of {path}, which is not here"
                for path in one_sided
            )
            if strict:
                raise PluginError(differ)
            log.warning("%s; those on one side alone start afresh, or are dropped", differ)
        for path, state in held.items():
            if state and (path := moved.get(path, path)) in parts:
                parts[path].load_state_dict(state)

    def _saved_by_none(self) -> dict[str, State]:
        """The states of the parts that no plugin saves."""
        return {path: state for path, state in self.state_dicts()[1].items() if state}


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
