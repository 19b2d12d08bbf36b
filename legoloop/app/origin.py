"""Where a key of the composed tree was set: a file, or the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.config_repository import IConfigRepository
from hydra._internal.defaults_list import DefaultsList
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from legoloop.app.config_home import config_home
from legoloop.app.hydra_jobs import repository

COMMAND_LINE = "command line"


def origin(key: str, config_name: str, overrides: Sequence[str]) -> str | None:
    """The file whose entry for this key won, or the command line; None if nobody knows.

    Asks the Hydra that is composing at present.
    """
    hydra = GlobalHydra.instance()
    if not hydra.is_initialized():
        return None
    found = repository(list(overrides), config_name)
    if any(_covers(override, key, found) for override in overrides):
        return COMMAND_LINE
    defaults = hydra.config_loader().compute_defaults_list(
        config_name, list(overrides), RunMode.RUN
    )
    files = _files_by_precedence(defaults, found)
    return next((file for file, tree in reversed(files) if _has(tree, key)), None)


def _covers(override: str, key: str, found: IConfigRepository) -> bool:
    """Whether an override sets the key, something above it, or something in it."""
    parsed = OverridesParser.create().parse_override(override)
    if found.get_group_options(parsed.key_or_group):
        return False
    path = parsed.key_or_group
    return f"{key}.".startswith(f"{path}.") or path.startswith(f"{key}.")


def _files_by_precedence(
    defaults: DefaultsList, found: IConfigRepository
) -> list[tuple[str, DictConfig]]:
    files: list[tuple[str, DictConfig]] = []
    for entry in defaults.defaults:
        path = entry.config_path or ""
        loaded = found.load_config(path)
        if loaded is None or path.startswith("hydra/"):
            continue
        tree: Any = loaded.config
        if entry.package:
            tree = OmegaConf.create()
            OmegaConf.update(tree, entry.package, loaded.config)
        files.append((_shown(loaded.path, path), tree))
    return files


def _shown(root: str, config_path: str) -> str:
    """A short name for a file of ours, a full one for the user's."""
    scheme, _, place = root.partition("://")
    folder = Path(place.replace(".", "/") if scheme == "pkg" else place)
    return f"{'conf' if folder == config_home() else folder}/{config_path}.yaml"


def _has(tree: DictConfig, key: str) -> bool:
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(tree, parent) if parent else tree
    return isinstance(node, DictConfig) and leaf in node
