"""The sweepers and the launchers of legoloop, where Hydra looks for plugins.

Hydra takes only plugins whose module lies in ``hydra_plugins``, and names them by it:
``hydra_plugins.legoloop.GridSweeper``. So each concrete sweeper and launcher gets a subclass of the
same name here. Hydra imports this module whenever it starts, in any application, so it imports
little.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from inspect import getmembers, isabstract, isclass
from pkgutil import iter_modules
from typing import Any

from hydra.plugins.launcher import Launcher

from legoloop.app.sweep import grid_sweeper, launchers, optuna_sweeper


def _concrete_launchers() -> Iterator[type[Launcher]]:
    """Those that the modules of ``legoloop.app.sweep.launchers`` define."""
    for module in iter_modules(launchers.__path__, f"{launchers.__name__}."):
        for _, cls in getmembers(import_module(module.name), isclass):
            is_its_own = cls.__module__ == module.name and issubclass(cls, Launcher)
            if is_its_own and not isabstract(cls):
                yield cls


def _as_plugin(cls: type[Any]) -> type[Any]:
    return type(cls.__name__, (cls,), {"__module__": __name__, "__doc__": cls.__doc__})


GridSweeper = _as_plugin(grid_sweeper.GridSweeper)
OptunaSweeper = _as_plugin(optuna_sweeper.OptunaSweeper)
globals().update({cls.__name__: _as_plugin(cls) for cls in _concrete_launchers()})
