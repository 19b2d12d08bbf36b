"""The keys of the tree that are not inside a brick: their types and ranges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from legoloop.app.config.nodes import NodeError, is_node
from legoloop.core.errors import ArgumentError
from legoloop.data.container import loader_configs

BRICKS = ("model", "loss", "optimizer", "scheduler", "metrics", "accumulators", "feed")
HEARD = ("plugins", "loggers")
COLLECTIONS = ("components", *HEARD)
"""Bricks by names of their own: parts that others are given, and those that hear the stages."""
LAUNCH_KEYS = ("run_dir", "show", "rerun", "resume", "on_config_change", "sweep")
"""Keys that say how a run is begun, not what it does."""
OBSERVATION_KEYS = ("profile",)
"""Keys that say what else is told of a run; it gives the same with any value of them."""

Check = Callable[[Any], str | None]


def _whole(least: int, most: int | None = None, none: bool = False) -> Check:
    def check(value: Any) -> str | None:
        fits = isinstance(value, int) and not isinstance(value, bool)
        if (none and value is None) or (fits and least <= value <= (most or value)):
            return None
        bounds = f"from {least} to {most}" if most else f"of at least {least}"
        return f"a whole number {bounds}" + (", or null" if none else "")

    return check


def _text(none: bool = False) -> Check:
    def check(value: Any) -> str | None:
        fits = (isinstance(value, str) and value != "") or (none and value is None)
        return None if fits else "a text" + (" or null" if none else "")

    return check


def _one_of(*choices: str | None) -> Check:
    def check(value: Any) -> str | None:
        return None if value in choices else f"one of {', '.join(c or 'null' for c in choices)}"

    return check


def _switch(*choices: str) -> Check:
    def check(value: Any) -> str | None:
        fits = isinstance(value, bool) or value in choices
        *others, last = ("true", "false", *choices)
        return None if fits else f"{', '.join(others)} or {last}"

    return check


def _mapping(value: Any) -> str | None:
    return None if value is None or isinstance(value, Mapping) else "a mapping of names"


def _texts(value: Any) -> str | None:
    fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return None if fits else "a list of names"


TOP: dict[str, Check] = {
    "seed": _whole(0, 2**32 - 1),
    "num_epochs": _whole(0),
    "epoch_size": _whole(1, none=True),
    "eval_samples": _whole(1, none=True),
    "device": _text(),
    "channels_last": _switch("auto"),
    "compile": _switch("default", "reduce-overhead", "max-autotune"),
    "app": _text(none=True),
    "profile": _switch(),
    "show": _one_of("plan", "config", "schedule", None),
    "run_dir": _text(),
    "rerun": _text(none=True),
    "resume": _text(),
    "on_config_change": _one_of("refuse", "accept"),
    "sweep": _mapping,
    "data": _mapping,
    **dict.fromkeys((*BRICKS, *COLLECTIONS), _mapping),
}
SWEEP: dict[str, Check] = {"on_failure": _one_of("continue", "stop")}
DATA: dict[str, Check] = {
    "root": _text(none=True),
    "seed": _whole(0, 2**32 - 1),
    "preload": _switch("auto"),
    "predict_dataset": _text(none=True),
    "output_key": _text(none=True),
    "model_kwargs": _texts,
    "loaders": _mapping,
    "datasets": _mapping,
}


def check_values(tree: Mapping[str, Any], known: Mapping[str, Check], path: str = "") -> None:
    """Raises NodeError for a value of a known key that is of the wrong type or out of range.

    >>> check_values({"num_epochs": -1}, TOP)
    Traceback (most recent call last):
    legoloop.app.config.nodes.NodeError: num_epochs: is -1; give a whole number of at least 0
    """
    for key, check in known.items():
        if key in tree and (wanted := check(tree[key])) is not None:
            raise NodeError(f"{path}{key}", f"is {tree[key]!r}; give {wanted}")


def check_loaders(data: Mapping[str, Any]) -> None:
    """Raises NodeError for settings of loaders that do not exist or are out of range."""
    try:
        loader_configs(
            data.get("datasets") or {}, {**data, "loaders": _as_built(data.get("loaders"))}
        )
    except ArgumentError as error:
        key, message = str(error).split(" ", 1)
        raise NodeError(f"data.{key}", message) from error


def _as_built(loaders: Any) -> Any:
    """The settings with a stand-in for each function that a node will give."""
    if is_node(loaders):
        return loader_configs
    if isinstance(loaders, Mapping):
        return {key: _as_built(value) for key, value in loaders.items()}
    return loaders
