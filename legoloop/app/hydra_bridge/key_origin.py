"""Where a key of the composed tree was set, and which keys the user set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.config_repository import IConfigRepository
from hydra.conf import HydraConf
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from legoloop.app.config.schema import TOP
from legoloop.app.config.trees import leaves, overlaps
from legoloop.app.hydra_bridge.job_config import all_overrides, repository, written
from legoloop.app.hydra_bridge.shipped_config import CONFIG_NAME, shipped_config_dir

COMMAND_LINE = "command line"
SHIPPED = ("hydra", "main", "schema")
"""Where Hydra looks for files if nobody tells it to look elsewhere."""


def origin(key: str, config_name: str, overrides: Sequence[str]) -> str | None:
    """The file whose entry for this key won, or the command line; None if nobody knows.

    Asks the Hydra that is composing at present.
    """
    if not GlobalHydra.instance().is_initialized():
        return None
    found = repository(list(overrides), config_name)
    if any(_covers(override, key, found) for override in overrides):
        return COMMAND_LINE
    files = _files_by_precedence(config_name, overrides, found)
    return next((_shown(file) for file, tree in reversed(files) if _has(tree, key)), None)


def set_keys(hydra: HydraConf | DictConfig) -> Iterator[str]:
    """What the user set for a job: keys and groups on the command line, keys in their own files."""
    overrides = all_overrides(hydra)
    found = repository(overrides)
    for override in OverridesParser.create().parse_overrides(written(hydra)):
        if override.key_or_group in TOP or not found.get_group_options(override.key_or_group):
            yield override.key_or_group
    if all(source.provider in SHIPPED for source in found.get_sources()):
        return
    for file, tree in _files_by_precedence(CONFIG_NAME, overrides, found):
        if shipped_config_dir() not in file.parents:
            yield from leaves(tree)


def _covers(override: str, key: str, found: IConfigRepository) -> bool:
    """Whether an override sets the key, something above it, or something in it."""
    parsed = OverridesParser.create().parse_override(override)
    if found.get_group_options(parsed.key_or_group):
        return False
    return overlaps(key, parsed.key_or_group)


def _files_by_precedence(
    config_name: str, overrides: Sequence[str], found: IConfigRepository
) -> list[tuple[Path, DictConfig]]:
    loader = GlobalHydra.instance().config_loader()
    defaults = loader.compute_defaults_list(config_name, list(overrides), RunMode.RUN)
    files: list[tuple[Path, DictConfig]] = []
    for entry in defaults.defaults:
        path = entry.config_path or ""
        loaded = found.load_config(path)
        if loaded is None or path.startswith("hydra/"):
            continue
        tree: Any = loaded.config
        if entry.package:
            tree = OmegaConf.create()
            OmegaConf.update(tree, entry.package, loaded.config)
        is_stored = loaded.path == "structured://"  # by us, under the name of its file
        file = Path(loaded.provider) if is_stored else _file(loaded.path, path)
        files.append((file, tree))
    return files


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
