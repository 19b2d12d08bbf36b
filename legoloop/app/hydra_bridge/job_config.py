"""What Hydra composed for a job: its tree, its directory, its blueprint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.config.paths import Tree, is_under
from legoloop.app.config.references import resolve_references
from legoloop.app.config.settings import COMMAND_LINE
from legoloop.app.config.validate import key_is_no_text
from legoloop.app.hydra_bridge.key_origin import user_origins
from legoloop.app.hydra_bridge.overrides import all_overrides, parse_overrides, task_overrides
from legoloop.core.errors import ConfigError
from legoloop.core.text import shown

SWEEP_DIR = "hydra.sweep.dir"
SWEEP_ALONE = ("sweep", "hydra.sweep", "hydra.sweeper", "hydra.launcher")
"""Settings that a single run does not read."""
RUN_ALONE = ("hydra.run",)
"""Settings that a sweep does not read."""
FOUND_OUT = ("hydra.runtime",)
"""Settings of Hydra that it sets itself, whatever they are."""
LONGEST_NAME, LONGEST_PATH = 255, 3_900
"""In bytes; a path leaves room for the files of a run, out of the 4,096 of the system."""


def blueprint_of_job(
    config: DictConfig, directory: str | Path, like: Blueprint | None = None, **known: Any
) -> Blueprint:
    """The blueprint of a composed configuration, which gets its run directory.

    Args:
        config: with Hydra's own part.
        directory: where the run writes.
        like: the blueprint of a job that is much the same.
        known: what else is known of it, as ``Blueprint.of`` takes it.

    Raises ConfigError for a mistake in it.
    """
    bind_run_directory(config, directory)
    if str(config.run_dir) != config.hydra.runtime.output_dir:
        raise ConfigError(
            f"is {shown(str(config.run_dir))}", key="run_dir", remedy=_where_it_is_said(config)
        )
    origins = user_origins(config.hydra)
    unresolved = to_plain(config, resolve=False)
    # Bound now: ${hydra:…} follows whatever is composed last.
    unresolved["run_dir"] = config.run_dir
    return Blueprint.of(
        resolve_references(unresolved, lambda path: _select(config, path)),
        unresolved,
        origins,
        task_overrides(config.hydra),
        like=like,
        **known,
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
    missing (``???``); ConfigError for a key that is no text, such as ``on``, which YAML reads as
    true.
    """
    tree: Tree = {}
    keys: list[Any] = list(config)
    for key in keys:
        if not isinstance(key, str):
            raise key_is_no_text(key)
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
    """Where a run of its own writes: ``hydra.run.dir``.

    Raises ConfigError if a value that it refers to leads out of the folder that it begins with, if
    it cannot be the name of a directory, and for an override that has an effect in a sweep alone.
    """
    _refuse_settings_of(SWEEP_ALONE, config, "has an effect in a sweep alone; to sweep, add -m")
    _refuse_settings_of(FOUND_OUT, config, "is set when a run begins; leave it out")
    pattern = str(OmegaConf.to_container(config.hydra.run, resolve=False)["dir"])  # type: ignore[call-overload,index]
    directory = checked_directory(config.hydra.run.dir, "hydra.run.dir")
    root, _, _ = pattern.partition("${")[0].rpartition("/")
    if "${" in pattern and root and Path(os.path.abspath(root)) not in directory.parents:
        raise ConfigError(
            f"{pattern} leads to {directory}, which is not in {root}; "
            "a value in it holds .. or begins with /",
            key="hydra.run.dir",
        )
    return directory


def sweep_directory(config: DictConfig) -> Path:
    """The folder of a sweep: ``hydra.sweep.dir``.

    Raises ConfigError if it refers to what only a job has, if it cannot be the name of a
    directory, and for an override that has an effect in a single run alone.
    """
    _refuse_settings_of(RUN_ALONE, config, "has no effect in a sweep; write hydra.sweep.dir=…")
    _refuse_settings_of(FOUND_OUT, config, "is set when a run begins; leave it out")
    try:
        folder = config.hydra.sweep.dir
    except OmegaConfBaseException as error:
        raise ConfigError(
            f"is not known before the jobs are ({str(error).splitlines()[0]})",
            key=SWEEP_DIR,
            remedy="put what differs between jobs into hydra.sweep.subdir",
        ) from None
    return checked_directory(folder, SWEEP_DIR)


def checked_directory(path: str | Path, key: str) -> Path:
    """The absolute path of a directory that a key names.

    Raises ConfigError if no directory can have this name.
    """
    if not str(path):
        raise ConfigError("is empty; write . for the current directory", key=key)
    directory = Path(os.path.abspath(path))
    longest = max(len(os.fsencode(part)) for part in directory.parts)
    if longest > LONGEST_NAME or len(os.fsencode(directory)) > LONGEST_PATH or "\0" in str(path):
        raise ConfigError(
            f"gives {shown(str(directory), 60)}, a name of {longest} bytes; a file system "
            f"takes {LONGEST_NAME}, and {LONGEST_PATH} for a path, and no NUL",
            key=key,
            remedy="leave something out (hydra.job.config.override_dirname.exclude_keys)"
            if "override_dirname" in str(path)
            else "choose a shorter one",
        )
    return directory


def _refuse_settings_of(kinds: tuple[str, ...], config: DictConfig, problem: str) -> None:
    """Refuse an override that would be ignored."""
    for override in parse_overrides(all_overrides(config.hydra)):
        key = override.key_or_group
        if any(is_under(key.replace("/", "."), kind) for kind in kinds):
            raise ConfigError(problem, key=key, where=COMMAND_LINE)


def _where_it_is_said(config: DictConfig) -> str:
    key = "hydra.run.dir" if config.hydra.mode is not RunMode.MULTIRUN else SWEEP_DIR
    return f"where a run writes is said with {key}"
