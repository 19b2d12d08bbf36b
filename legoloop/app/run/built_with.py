"""What an app was built with that its configuration does not tell.

The record of a run holds it, so that its model can be built again in another folder, in another
process, and without its data.
"""

from __future__ import annotations

import ast
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import torch

from legoloop.app.config.binding import TARGET, calls_in
from legoloop.app.config.blueprint import Blueprint
from legoloop.app.config.components import TRAIN
from legoloop.app.config.paths import Tree
from legoloop.app.run.data_digests import datasets_of
from legoloop.core.errors import ConfigError

LONGEST = 10_000
"""A value whose text has more characters is left out of the record."""
UNREADABLE = (ValueError, TypeError, SyntaxError, MemoryError, RecursionError)
"""What ``ast.literal_eval`` raises."""


@dataclass(frozen=True)
class BuiltWith:
    """What an app was built with.

    Args:
        import_path: the folders in which Python looked for modules, besides installed ones.
        from_data: what models are given of the train data set, as far as Python can write it.
        replaced: the names of what was overridden in the container (``app.model.override``).
    """

    import_path: tuple[str, ...] = ()
    from_data: Mapping[str, Any] = field(default_factory=dict)
    replaced: tuple[str, ...] = ()

    @classmethod
    def of(cls, app: Any, blueprint: Blueprint) -> BuiltWith:
        """That of an app whose components and data sets are built."""
        replaced = sorted(name for name, each in app.providers.items() if each.overridden)
        given = _given_to_models(datasets_of(app).get(TRAIN), blueprint)
        return cls(tuple(import_path()), given, tuple(replaced))

    def written(self) -> dict[str, Any]:
        """As a record holds it; values as the literals that Python reads back as they were."""
        return asdict(self) | {"from_data": {k: repr(v) for k, v in self.from_data.items()}}

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> BuiltWith:
        """Of a record, which may be of an older version, or damaged: what cannot be read is not."""
        written = record.get("built_with")
        if not isinstance(written, Mapping):
            return cls()
        given = written.get("from_data")
        return cls(
            _texts(written.get("import_path")),
            dict(_literals(given if isinstance(given, Mapping) else {})),
            _texts(written.get("replaced")),
        )


def import_path() -> list[str]:
    """The folders of ``sys.path`` that hold neither Python itself nor what is installed."""
    found = (Path(entry).absolute() for entry in sys.path)
    return [str(folder) for folder in found if folder.is_dir() and not _is_installed(folder)]


def where_now(folders: Iterable[str], then: Path, now: Path) -> list[Path]:
    """Where folders are by now; they may have been moved together with a run inside.

    Args:
        folders: as they were.
        then: where the run was.
        now: where the run is.

    >>> where_now(["/gone/project"], Path("/gone/project/outputs/1"), Path("/new/outputs/1"))
    [PosixPath('/new')]
    """
    here = (_where_now(Path(folder), then, now.absolute()) for folder in folders)
    return [folder for folder in here if folder is not None]


@contextmanager
def importing_from(folders: Iterable[Path], tree: Tree) -> Iterator[None]:
    """Inside, modules are looked for in these folders first; later, where they were not found.

    Args:
        folders: the folders.
        tree: the configuration whose targets are imported inside.

    Raises ConfigError for a target in a module of whose name this process has another one.
    """
    found = [str(folder) for folder in folders]
    for name in sorted(_packages(tree)):
        _check_is_the_one(name, found)
    before = list(sys.path)
    sys.path[:0] = found
    try:
        yield
    finally:
        sys.path[:] = [*before, *(folder for folder in found if folder not in before)]


def _given_to_models(dataset: Any, blueprint: Blueprint) -> dict[str, Any]:
    """The attributes that the components took, as far as Python can write and read them."""
    calls = calls_in(list(blueprint.components.values()))
    taken = {provider for call in calls for provider in call.dependencies.values()}
    names = [name for name in blueprint.data.model_kwargs if name in taken]
    values = {name: getattr(dataset, name) for name in names if hasattr(dataset, name)}
    written = {
        name: repr(tuple(value) if isinstance(value, torch.Size) else value)
        for name, value in values.items()
    }
    read = _literals({name: text for name, text in written.items() if len(text) <= LONGEST})
    return {name: value for name, value in read if repr(value) == written[name]}


def _literals(written: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, text in written.items():
        try:
            yield name, ast.literal_eval(text)
        except UNREADABLE:
            continue


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _where_now(folder: Path, then: Path, now: Path) -> Path | None:
    if folder.is_dir():
        return folder
    inside = then.parts[len(folder.parts) :]
    if not inside or not then.is_relative_to(folder) or now.parts[-len(inside) :] != inside:
        return None
    return now.parents[len(inside) - 1]


def _packages(tree: Tree) -> set[str]:
    """The outermost names of all targets; legoloop is the one that is at work."""
    targets = [*_targets(tree), tree.get("app") or "legoloop"]
    return {str(target).partition(".")[0] for target in targets} - {"legoloop"}


def _targets(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        if TARGET in value:
            yield value[TARGET]
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from _targets(inner)


def _check_is_the_one(name: str, folders: list[str]) -> None:
    module, own = sys.modules.get(name), PathFinder.find_spec(name, folders)
    file = getattr(module, "__file__", None)
    if file is None or own is None or own.origin is None or _is_installed(Path(file)):
        return
    if Path(file).resolve() != Path(own.origin).resolve():
        raise ConfigError(
            f"the run's '{name}' is {own.origin}, but this process has imported {file}",
            remedy="load the run in a process of its own",
        )


def _is_installed(path: Path) -> bool:
    kept = (sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib"))
    installed = {*kept, *site.getsitepackages(), site.getusersitepackages()}
    return any(path.is_relative_to(folder) for folder in installed)
