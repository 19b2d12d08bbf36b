"""Settings that a saved state would set back to what they were."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any

import torch
from torch import nn

from legoloop.core.as_constructed import describe
from legoloop.core.errors import PluginError
from legoloop.core.shards import is_sharded
from legoloop.core.text import shorten
from legoloop.loop.held_objects import held_objects, moved_paths

log = logging.getLogger("legoloop")

Settings = dict[str, dict[str, str]]
"""What each object was constructed with, by its path: settings by name, described."""

MAX_NUMEL = 2**16
"""A larger buffer holds data, not a setting."""


class ConstructedSettings:
    """What the plugins of a host, and what they hold, were constructed with.

    These are arguments of a constructor that an object with a state keeps under their own names,
    and buffers of modules, such as the weights of the classes in a loss. The state of an object may
    have them too, beside what was learnt. One that is constructed otherwise now, and that the saved
    run had not changed itself, is not loaded.

    Args:
        plugins (Mapping[str, object]): the plugins by name, as constructed.
        host (object): is not looked into.

    >>> def loss(pos_weight):
    ...     return nn.BCEWithLogitsLoss(pos_weight=torch.tensor(pos_weight))
    >>> class Plugin:
    ...     def __init__(self, loss): self.loss = loss
    >>> before, plugin = Plugin(loss(1.0)), Plugin(loss(7.0))
    >>> then = ConstructedSettings({"plugin": before}, host=None).described
    >>> now = ConstructedSettings({"plugin": plugin}, host=None)
    >>> _ = plugin.loss.load_state_dict(before.loss.state_dict())
    >>> now.restore(then, has_same_seed=True)
    >>> plugin.loss.pos_weight
    tensor(7.)
    """

    def __init__(self, plugins: Mapping[str, object], host: object) -> None:
        objects = {**plugins, **held_objects(plugins, but=[host])}
        self._objects = {path: held for path, held in objects.items() if _has_state(held)}
        self._values = {path: dict(_settings(held)) for path, held in self._objects.items()}
        self.described: Settings = {
            path: {name: describe(value) for name, value in values.items()}
            for path, values in self._values.items()
            if values
        }

    def restore(self, then: Settings, has_same_seed: bool | None) -> None:
        """Undo what was loaded of settings that are others now.

        Args:
            then: the settings of the run that was saved.
            has_same_seed: whether that run had the seed of this one; None: it is not known.

        Raises PluginError for a buffer where the seed has changed too, since it may be drawn.
        """
        changed = list(self._changed(then))
        for path, name, value in changed:
            if not isinstance(value, torch.Tensor):
                setattr(self._objects[path], name, value)
        buffers = [each for each in changed if isinstance(each[2], torch.Tensor)]
        if not buffers:
            return
        shown = shorten([f"{path}.{name}" for path, name, _ in buffers])
        if has_same_seed is False:
            raise PluginError(
                f"these buffers are constructed otherwise than in the saved run: {shown}",
                remedy="leave the seed as it was, with which they may have been drawn",
            )
        for path, name, value in buffers if has_same_seed else ():
            attrgetter(name)(self._objects[path]).copy_(value)
        log.warning(
            "these buffers are constructed otherwise than in the saved run, and %s: %s",
            "are as they are now" if has_same_seed else "stay as they were",
            shown,
        )

    def _changed(self, then: Settings) -> Iterator[tuple[str, str, Any]]:
        """The path, name and value of what is constructed otherwise now, and was loaded."""
        now = self.described
        gone = {path: then[path] for path in then.keys() - now.keys()}
        moved = moved_paths(gone, {path: now[path] for path in now.keys() - then.keys()})
        before = {moved.get(path, path): settings for path, settings in then.items()}
        for path in now.keys() & before.keys():
            for name in now[path].keys() & before[path].keys():
                was = before[path][name]
                loaded = attrgetter(name)(self._objects[path])
                if was != now[path][name] and describe(loaded) == was:
                    yield path, name, self._values[path][name]


def of_states(settings: Settings, states: Mapping[str, object]) -> Settings:
    """The settings that states have too, and so may set back.

    Args:
        settings: of all objects.
        states: the state of an object by its path; of any other, all settings count.

    >>> of_states({"a": {"mode": "1", "rate": "2"}, "b": {"weight": "3"}}, {"a": {"rate": 2}})
    {'a': {'rate': '2'}, 'b': {'weight': '3'}}
    """
    found = {}
    for path, described in settings.items():
        state = states.get(path, described)
        if isinstance(state, Mapping) and (kept := described.keys() & state.keys()):
            found[path] = {name: described[name] for name in described if name in kept}
    return found


def _has_state(held: Any) -> bool:
    return all(hasattr(type(held), method) for method in ("state_dict", "load_state_dict"))


def _settings(held: Any) -> Iterator[tuple[str, Any]]:
    """Copied, since a state is loaded into the buffers."""
    if isinstance(held, nn.Module):
        for name, buffer in held.named_buffers():
            if buffer.numel() <= MAX_NUMEL and not is_sharded(buffer) and not buffer.is_meta:
                yield name, buffer.detach().clone()
        return
    kind: Any = type(held)
    own = getattr(held, "__dict__", {})
    for name in _arguments(kind):
        if name in own and _is_plain(own[name]):
            yield name, own[name]


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | complex | str)


@lru_cache(maxsize=1024)
def _arguments(kind: type) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(kind).parameters)
    except (TypeError, ValueError):  # it has none that can be read
        return ()
