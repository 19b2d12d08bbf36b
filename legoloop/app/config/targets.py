"""What a ``_target_`` names."""

from __future__ import annotations

import builtins
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from legoloop.core.errors import ConfigError, MissingExtraError
from legoloop.core.suggestions import did_you_mean
from legoloop.core.text import shown

HARMFUL_MODULES = (
    *("_io", "_pickle", "cloudpickle", "code", "ctypes", "dill", "importlib", "io", "marshal"),
    *("nt", "os", "pdb", "pickle", "posix", "pty", "runpy", "shutil", "signal", "socket"),
    *("subprocess", "sys", "torch.hub", "webbrowser"),
)
HARMFUL = {
    *(f"builtins.{name}" for name in ("__import__", "breakpoint", "compile", "eval", "exec")),
    *(f"builtins.{name}" for name in ("delattr", "getattr", "input", "open", "setattr")),
    *("joblib.load", "joblib.numpy_pickle.load", "pandas.io.pickle.read_pickle"),
    *("torch.load", "torch.serialization.load", "yaml.load", "yaml.unsafe_load"),
}
"""What a configuration has no honest use for: it runs programs, code or pickles, or removes files.

A configuration is code all the same, since it may name any other function: this list stops what
is pasted, not what is meant.
"""

_PREFIXES = tuple(f"{module}." for module in HARMFUL_MODULES)


def resolve(target: str) -> Callable[..., Any]:
    """The class or function of a dotted path.

    Raises ConfigError if there is none, naming the part that was not found and the nearest name,
    and for functions that could do harm.

    >>> resolve("legoloop.Counter")
    <class 'legoloop.training.counter.Counter'>
    >>> resolve("legoloop.Countre")
    Traceback (most recent call last):
    legoloop.core.errors.ConfigError: legoloop has no 'Countre'; did you mean Counter?
    """
    if not isinstance(target, str) or not all(part.isidentifier() for part in target.split(".")):
        raise ConfigError(f"{shown(target)} is not a dotted path; write package.module.Name")
    found: Any
    found, rest = _module(target)
    for name in rest:
        if not hasattr(found, name):
            owner = getattr(found, "__name__", str(found))
            raise ConfigError(f"{owner} has no '{name}'; {did_you_mean(name, _public(found))}")
        found = getattr(found, name)
    if not callable(found):
        raise ConfigError(f"{target} cannot be called; it is of type {type(found).__name__}")
    _refuse_harmful(target, found)
    called: Callable[..., Any] = found
    return called


def _refuse_harmful(target: str, found: Any) -> None:
    """By what it is, too: it may be reached through any module that imports it."""
    module = getattr(found, "__module__", None) or ""
    name = getattr(found, "__qualname__", target)
    is_from_harmful = f"{module}.".startswith(_PREFIXES) or target.startswith(_PREFIXES)
    if is_from_harmful or {target, f"{module}.{name}"} & HARMFUL:
        raise ConfigError(f"{target} is refused: it could do harm; wrap it in a function of yours")


def _module(target: str) -> tuple[Any, list[str]]:
    """The longest importable beginning of the path, and what is left of it."""
    parts = target.split(".")
    if (loaded := _loaded_module(parts)) is not None:
        return loaded
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        try:
            return importlib.import_module(name), parts[length:]
        except MissingExtraError:
            raise
        except ModuleNotFoundError as error:
            if error.name is None or not (name + ".").startswith(error.name + "."):
                raise ConfigError(
                    f"{name} cannot be imported: it needs {error.name}, which is not installed"
                ) from error
    if len(parts) == 1 and hasattr(builtins, target):
        return builtins, parts
    raise ConfigError(
        f"there is no module {parts[0]}; is it installed, or its folder on PYTHONPATH?"
    )


def _loaded_module(parts: list[str]) -> tuple[Any, list[str]] | None:
    """The module that is imported already and has the rest of the path, if there is one."""
    for length in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:length]))
        if module is not None:
            return (module, parts[length:]) if parts[length] in vars(module) else None
    return None


def _public(owner: Any) -> list[str]:
    inside = [module.name for module in pkgutil.iter_modules(getattr(owner, "__path__", []))]
    return [*inside, *(name for name in dir(owner) if not name.startswith("_"))]


@lru_cache(maxsize=1024)
def parameters(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter] | None:
    """The parameters by name, without self; None if it has no signature."""
    try:
        return inspect.signature(target).parameters
    except (TypeError, ValueError):
        return None
