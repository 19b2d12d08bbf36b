"""What Hydra composed for a job: its tree, its directory, its blueprint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.config.paths import Tree
from legoloop.app.config.references import resolve_references
from legoloop.app.hydra_bridge.key_origin import user_origins
from legoloop.app.hydra_bridge.overrides import task_overrides
from legoloop.core.errors import ConfigError


def blueprint_of_job(
    config: DictConfig, directory: str | Path, like: Blueprint | None = None
) -> Blueprint:
    """The blueprint of a composed configuration, which gets its run directory.

    Args:
        config: with Hydra's own part.
        directory: where the run writes.
        like: the blueprint of a job that is much the same.

    Raises ConfigError for a mistake in it.
    """
    bind_run_directory(config, directory)
    unresolved = to_plain(config, resolve=False)
    # Bound now: ${hydra:…} follows whatever is composed last.
    unresolved["run_dir"] = config.run_dir
    return Blueprint.of(
        resolve_references(unresolved, lambda path: _select(config, path)),
        unresolved,
        user_origins(config.hydra),
        task_overrides(config.hydra),
        like=like,
    )


def blueprint_of_tree(tree: DictConfig, **known: Any) -> Blueprint:
    """The blueprint of a tree that has a run directory.

    Args:
        tree: without Hydra's own part.
        known: what else is known of it, as ``Blueprint.of`` takes it.
    """
    return Blueprint.of(to_plain(tree), to_plain(tree, resolve=False), **known)


def to_plain(config: DictConfig, resolve: bool = True) -> Tree:
    """A configuration as dicts, lists and values, without Hydra's own part.

    Args:
        config: what was composed.
        resolve: whether references are resolved, or stay as they were written.

    Raises OmegaConfBaseException for a reference that leads nowhere, and for a value that is
    missing (``???``).
    """
    tree: Tree = {}
    for key in map(str, config):
        if key != "hydra":
            is_reference = OmegaConf.is_interpolation(config, key)
            value = _written(config, key) if is_reference and not resolve else config[key]
            is_inner = OmegaConf.is_config(value)
            tree[key] = (
                OmegaConf.to_container(value, resolve=resolve, throw_on_missing=resolve)
                if is_inner
                else value
            )
    return tree


def _select(config: DictConfig, path: str) -> Any:
    """The value at a path, resolved by OmegaConf; raises its error for what leads nowhere."""
    parent, _, key = path.rpartition(".")
    node = OmegaConf.select(config, parent, throw_on_missing=True) if parent else config
    value = OmegaConf.select(config, path, throw_on_missing=True) if "[" in key else node[key]
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _written(config: DictConfig, key: str) -> str:
    """The text of a reference."""
    alone: Any = OmegaConf.to_container(OmegaConf.masked_copy(config, [key]), resolve=False)
    return str(alone[key])


def bind_run_directory(config: DictConfig, directory: str | Path) -> None:
    """Give a composed configuration its run directory, and ``${hydra:…}`` this configuration.

    Hydra does so itself, a moment later and after making the directory; references need it now.
    """
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = str(Path(directory).absolute())
    HydraConfig.instance().cfg = config  # type: ignore[assignment]  # set_config copies it


def run_directory(config: DictConfig) -> Path:
    """Where a run writes: ``hydra.run.dir``.

    Raises ConfigError if a value that it refers to leads out of the folder that it begins with.
    """
    pattern = str(OmegaConf.to_container(config.hydra.run, resolve=False)["dir"])  # type: ignore[call-overload,index]
    directory = Path(os.path.abspath(config.hydra.run.dir))
    root, _, _ = pattern.partition("${")[0].rpartition("/")
    if "${" in pattern and root and Path(os.path.abspath(root)) not in directory.parents:
        raise ConfigError(
            f"{pattern} leads to {directory}, which is not in {root}; "
            "a value in it holds .. or begins with /",
            key="hydra.run.dir",
        )
    return directory
