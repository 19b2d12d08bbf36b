"""dependency_injector's wiring of functions, executed by its first use.

Every container imports it, and it imports what it finds of FastAPI, Starlette and Werkzeug, to know
their classes: up to a quarter of a second, for what a training seldom does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from threading import RLock
from typing import Any

NAME = "dependency_injector.wiring"


def execute_wiring_later() -> None:
    """For a whole process: once imported, the module waits until something of it is used."""
    sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> Any:
        if name != NAME:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Later(spec.loader)
        return spec


class _Later(Loader):
    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> Any:
        return self.loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        lock = RLock()  # as at an import: whoever asks meanwhile, waits
        is_begun = False

        def executed() -> Any:
            nonlocal is_begun
            with lock:
                if not is_begun:
                    is_begun = True
                    self.loader.exec_module(module)  # over the two that stand in until then
                    del module.__getattr__
            return module

        def asked(name: str) -> Any:
            # As of every module that there is, by who looks through them; "import *" asks for one.
            if name.startswith("__") and name != "__all__":
                raise AttributeError(name)
            try:
                return vars(executed())[name]
            except KeyError:
                raise AttributeError(f"module {NAME!r} has no attribute {name!r}") from None

        module.__getattr__ = asked
        # What containers take at their import; they call it if there is something to wire.
        module.wire = lambda *args, **kwargs: executed().wire(*args, **kwargs)
        module.unwire = lambda *args, **kwargs: executed().unwire(*args, **kwargs)
