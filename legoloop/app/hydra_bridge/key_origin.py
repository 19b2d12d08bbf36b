"""Where a key of the composed tree was set, and which keys the user set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from legoloop.app.config.binding import TARGET
from legoloop.app.config.paths import is_under, overlaps
from legoloop.app.config.settings import COMMAND_LINE, TOP_LEVEL
from legoloop.app.hydra_bridge.internals import (
    Repository,
    config_repository,
    groups_chosen_by,
)
from legoloop.app.hydra_bridge.overrides import (
    all_overrides,
    is_value,
    parse_overrides,
    task_overrides,
)
from legoloop.app.hydra_bridge.shipped_config import (
    CONFIG_NAME,
    SETTINGS_FILE,
    shipped_config_dir,
)
from legoloop.core.errors import ConfigError
from legoloop.core.flatten import flatten_config

SHIPPED = ("hydra", "main", "schema")
"""The providers of the files that Hydra finds without a search path of the user's."""


@dataclass(frozen=True)
class ConfigFile:
    """A file that is part of a composed configuration.

    Args:
        path: where it lies.
        tree: what it sets, at the place in the tree where it sets it.
        hidden: a file of the user's with the same name, which is not read.
        chooses: the groups of which it chooses the option that counts.
    """

    path: Path
    tree: DictConfig
    hidden: Path | None = None
    chooses: tuple[str, ...] = ()


def where_set(key: str, config: DictConfig | None) -> str | None:
    """Where a key was set, or the node that it is missing in; None if that is not known.

    Args:
        key: the dotted path.
        config: the composed tree, Hydra's part included.
    """
    if config is None or not GlobalHydra.instance().is_initialized():
        return None
    name = config.hydra.job.config_name or CONFIG_NAME
    overrides = all_overrides(config.hydra)
    key = key.replace("[", ".").replace("]", "")
    found = origin(key, name, overrides)
    while found is None and key:
        # What was set beside the key does not count: who named the target left the key out.
        key = key.rpartition(".")[0]
        found = origin(f"{key}.{TARGET}", name, overrides) or _origin(
            key, name, overrides, is_under
        )
    return found


def origin(key: str, config_name: str, overrides: Sequence[str]) -> str | None:
    """The file whose entry for this key won, or the command line; None if that is not known.

    The command line, too, if it set something in it. Asks the Hydra that is composing at present.
    """
    return _origin(key, config_name, overrides, overlaps)


def _origin(
    key: str, config_name: str, overrides: Sequence[str], covers: Callable[[str, str], bool]
) -> str | None:
    found = repository(list(overrides), config_name)
    for override in parse_overrides(overrides):
        if is_value(override, found) and covers(key, override.key_or_group):
            return COMMAND_LINE
    files = _files_by_precedence(config_name, tuple(overrides), found)
    return next((_shown(file.path) for file in reversed(files) if _has(file.tree, key)), None)


def user_origins(hydra: HydraConf | DictConfig) -> dict[str, str]:
    """What the user set for a job, and where: on the command line, or in a file of their own.

    Raises ConfigError for a file of theirs that is not read, since another has its name.
    """
    overrides = all_overrides(hydra)
    found = repository(overrides)
    origins: dict[str, str] = {}
    if any(source.provider not in SHIPPED for source in found.get_sources()):
        check_none_is_hidden(overrides)
        for file in _files_by_precedence(CONFIG_NAME, tuple(overrides), found):
            if shipped_config_dir() not in file.path.parents and file.path != Path(SETTINGS_FILE):
                plain: Any = OmegaConf.to_container(file.tree)
                keys = (*file.chooses, *(key for key, _ in flatten_config(plain)))
                origins.update(dict.fromkeys(keys, _shown(file.path)))
    on_command_line = keys_on_command_line(parse_overrides(task_overrides(hydra)), found)
    return {**origins, **dict.fromkeys(on_command_line, COMMAND_LINE)}


def check_none_is_hidden(overrides: Sequence[str], config_name: str = CONFIG_NAME) -> None:
    """Raises ConfigError if a file that is read hides one of the user's, of the same name."""
    found = repository(list(overrides), config_name)
    for file in _files_by_precedence(config_name, tuple(overrides), found):
        if file.hidden is not None:
            raise ConfigError(
                f"{file.hidden}: is not read, {_shown(file.path)} of the same name comes first",
                remedy="give it another name",
            )


def keys_on_command_line(overrides: Sequence[Override], found: Repository) -> list[str]:
    """The keys that overrides set, and the groups that they choose for a top-level key."""
    keys: list[str] = []
    for override in overrides:
        name = override.key_or_group
        if override.is_delete():
            keys = [key for key in keys if not is_under(key, name)]
        elif is_value(override, found) or name in TOP_LEVEL:
            keys.extend(key for key, _ in flatten_config({name: override.value()}))
    return keys


def repository(overrides: list[str], config_name: str = CONFIG_NAME) -> Repository:
    """All files that the Hydra at work finds, those under ``hydra.searchpath`` too."""
    where = tuple(text for text in overrides if "searchpath" in text)
    return _repository(GlobalHydra.instance().config_loader(), where, config_name)


@lru_cache(maxsize=1)
def _repository(loader: Any, where: tuple[str, ...], config_name: str) -> Repository:
    """Found once for all jobs of a sweep: it takes reading files."""
    return config_repository(loader, config_name, where)


@lru_cache(maxsize=1)
def _files_by_precedence(
    config_name: str, overrides: tuple[str, ...], found: Repository
) -> list[ConfigFile]:
    """Read once for all keys of a job: Hydra composes the defaults list for it."""
    loader = GlobalHydra.instance().config_loader()
    defaults = loader.compute_defaults_list(config_name, list(overrides), RunMode.RUN)
    chosen = groups_chosen_by(defaults)
    files: list[ConfigFile] = []
    for entry in defaults.defaults:
        path = entry.config_path or ""
        loaded = found.load_config(path)
        hidden = _hidden(path, found)
        if loaded is None or (path.startswith("hydra/") and hidden is None):
            continue
        tree: Any = loaded.config
        if entry.package:
            tree = OmegaConf.create()
            OmegaConf.update(tree, entry.package, loaded.config)
        is_stored = loaded.path == "structured://"  # by us, under the name of its file
        file = Path(loaded.provider) if is_stored else _file(loaded.path, path)
        files.append(ConfigFile(file, tree, hidden, tuple(chosen.get(path, ()))))
    return files


def _hidden(config_path: str, found: Repository) -> Path | None:
    """The first file of the user's with this path that is not read, since another comes first."""
    sources = [source for source in found.get_sources() if source.is_config(config_path)]
    files = (
        _file(f"{each.scheme()}://{each.path}", config_path)
        for each in sources[1:]
        if each.provider not in SHIPPED and each.scheme() == "file"
    )
    return next((file for file in files if shipped_config_dir() not in file.parents), None)


def _file(root: str, config_path: str) -> Path:
    scheme, _, place = root.partition("://")
    return Path(place.replace(".", "/") if scheme == "pkg" else place) / f"{config_path}.yaml"


def _shown(file: Path) -> str:
    """A short name for a file of ours, a full one for the user's."""
    home = shipped_config_dir()
    return str(Path("conf") / file.relative_to(home) if home in file.parents else file)


def _has(tree: DictConfig, key: str) -> bool:
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(tree, parent) if parent else tree
    return isinstance(node, DictConfig) and leaf in node
