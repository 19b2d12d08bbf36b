"""Plugins of Hydra that other packages bring, and that do not work."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from inspect import getmembers, isabstract, isclass
from pkgutil import walk_packages

from hydra.core.singleton import Singleton
from hydra.plugins.search_path_plugin import SearchPathPlugin

from legoloop.app.hydra_bridge.internals import SearchPath, find_plugins

PLUGINS = "hydra_plugins"


def skip_broken_plugins() -> None:
    """Skip plugins of Hydra that are installed and broken; to be called first.

    Hydra imports all modules in ``hydra_plugins`` when it starts, and stops at what one of them
    raises. Here that costs a line on stderr. Where no plugin is broken, this is what Hydra would
    do a moment later, and not done again.

    >>> skip_broken_plugins()
    """
    try:
        with warnings.catch_warnings():
            # Hydra continues after an ImportError, with a warning of five lines.
            warnings.filterwarnings("error", r"\n\tError importing")
            find_plugins()
    except (Exception, SystemExit):
        for name in _modules():
            try:
                _try(name)
            except (Exception, SystemExit) as error:
                sys.modules[name] = None  # type: ignore[assignment]  # Hydra goes past it
                print(f"warning: {name} is skipped: {_cause(error)}", file=sys.stderr)
        Singleton.set_state(Singleton.get_state())  # as if Hydra had not yet looked for plugins


def _modules() -> Iterator[str]:
    """The modules that Hydra imports, packages before what is in them."""
    yield PLUGINS
    try:
        path = import_module(PLUGINS).__path__
    except ImportError:
        return
    for module in walk_packages(path, f"{PLUGINS}.", onerror=lambda name: None):
        if not re.search(r"\._(?!_)\w*$", module.name):
            yield module.name


def _try(name: str) -> None:
    """What Hydra does with every plugin that it finds."""
    for _, plugin in getmembers(import_module(name), isclass):
        if issubclass(plugin, SearchPathPlugin) and not isabstract(plugin):
            plugin().manipulate_search_path(SearchPath())


def _cause(error: BaseException) -> str:
    cause, *_ = str(error).splitlines() or ["no cause is given"]
    return f"{type(error).__name__}: {cause}"
