"""Building what a blueprint binds: bound calls are made, dependencies come from the scope."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import Any

from legoloop.app.config.binding import BoundCall
from legoloop.core.errors import ArgumentError, ConfigError
from legoloop.core.text import in_one_line

Scope = Mapping[str, Callable[[], Any]]


def build(call: BoundCall, scope: Scope) -> Any:
    """Carry out a bound call, those nested in its arguments first.

    Args:
        call: what to call, with which values and dependencies.
        scope: a provider for each name that may be injected.

    Raises ConfigError for a value that the target itself refuses.

    >>> from legoloop.app.config.binding import bind
    >>> node = {"_target_": "fractions.Fraction", "numerator": 1, "denominator": 2}
    >>> build(bind("half", node, ()), {})
    Fraction(1, 2)
    """
    target = call.function
    args = [build_nested(value, scope) for value in call.args]
    values = {key: build_nested(value, scope) for key, value in call.values.items()}
    injected = {name: scope[provider]() for name, provider in call.dependencies.items()}
    if call.is_partial:
        is_bare = not (values or args or injected)
        return target if is_bare else partial(target, *args, **values, **injected)
    try:
        return target(*args, **values, **injected)
    except ArgumentError as error:
        raise _located(error, call.path, values) from error
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        if _comes_from_deeper(error):
            raise
        refusal = in_one_line(error)
        raise ConfigError(f"{call.target} refuses it: {refusal}", key=call.path) from error


def build_nested(value: Any, scope: Scope) -> Any:
    """A value, with what the bound calls inside it make in their places."""
    if isinstance(value, BoundCall):
        return build(value, scope)
    if isinstance(value, Mapping):
        return {key: build_nested(item, scope) for key, item in value.items()}
    if isinstance(value, list):
        return [build_nested(item, scope) for item in value]
    return value


def _located(error: ArgumentError, path: str, values: Mapping[str, Any]) -> ConfigError:
    """The error at the key of the argument, or at the node if that does not give the argument."""
    if error.key is not None:
        return error
    argument = re.split(r"[.\[]", error.argument)[0] if error.argument else None
    if argument in values:
        return error.located(key=f"{path}.{error.argument}")
    return ConfigError(str(error), key=path)


def _comes_from_deeper(error: Exception) -> bool:
    """Whether what the target calls raised it: a bug there, not a refusal of the values.

    The constructors of its base classes are its own, and installed libraries check their arguments
    in functions.
    """
    frames = [frame for frame, _ in walk_tb(error.__traceback__)][1:]
    if not frames or all(map(_is_of_library, frames)):
        return False
    target, *deeper = frames
    return not all(_constructs_the_same(frame, target) for frame in deeper)


def _is_of_library(frame: FrameType) -> bool:
    package = str(frame.f_globals.get("__name__")).partition(".")[0]
    folders = Path(frame.f_code.co_filename).parts
    is_installed = "site-packages" in folders or "dist-packages" in folders
    return is_installed and package != "legoloop"


def _constructs_the_same(frame: FrameType, target: FrameType) -> bool:
    is_constructor = frame.f_code.co_name == "__init__"
    return is_constructor and frame.f_locals.get("self") is target.f_locals.get("self", frame)
