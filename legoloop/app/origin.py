"""Where a key of the composed tree was set: a file, or the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from legoloop.app.config_home import config_home

COMMAND_LINE = "command line"


def origin(key: str, config_name: str, overrides: Sequence[str]) -> str | None:
    """The file whose entry for this key won, or the command line; None if nobody knows.

    Asks the Hydra that is composing at present.
    """
    hydra = GlobalHydra.instance()
    if not hydra.is_initialized():
        return None
    if any(_covers(override, key) for override in overrides):
        return COMMAND_LINE
    loader = hydra.config_loader()
    files = _files_by_precedence(loader, config_name, list(overrides))
    return next((file for file, tree in reversed(files) if _has(tree, key)), None)


def _covers(override: str, key: str) -> bool:
    """Whether an override sets the key, something above it, or something in it."""
    parsed = OverridesParser.create().parse_override(override)
    if GlobalHydra.instance().config_loader().get_group_options(parsed.key_or_group):
        return False
    path = parsed.key_or_group
    return f"{key}.".startswith(f"{path}.") or path.startswith(f"{key}.")


def _files_by_precedence(
    loader: ConfigLoader, config_name: str, overrides: list[str]
) -> list[tuple[str, DictConfig]]:
    defaults = loader.compute_defaults_list(config_name, overrides, RunMode.RUN)
    files: list[tuple[str, DictConfig]] = []
    for entry in defaults.defaults:
        loaded = loader.repository.load_config(entry.config_path)  # type: ignore[attr-defined]
        if loaded is None or entry.config_path.startswith("hydra/"):
            continue
        tree = loaded.config
        if entry.package:
            tree = OmegaConf.create()
            OmegaConf.update(tree, entry.package, loaded.config)
        files.append((_shown(loaded.path, entry.config_path), tree))
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
