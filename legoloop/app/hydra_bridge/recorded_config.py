"""The tree that a run wrote down about itself, and overrides over it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from legoloop.app.config.settings import COLLECTIONS, COMPONENTS
from legoloop.app.hydra_bridge.broken_plugins import skip_broken_plugins
from legoloop.app.hydra_bridge.internals import apply_overrides as apply_to_composed
from legoloop.app.hydra_bridge.key_origin import check_none_is_hidden, repository
from legoloop.app.hydra_bridge.messages import format_error
from legoloop.app.hydra_bridge.overrides import is_value, parse_overrides, search_path
from legoloop.app.hydra_bridge.shipped_config import (
    CONFIG_NAME,
    register_settings,
    shipped_config_dir,
)
from legoloop.core.errors import ConfigError
from legoloop.core.record_files import check_yaml, first_line, read_bytes
from legoloop.core.run_directory import CONFIG, HYDRA

NEEDED = ("seed", "device", "run_dir")
"""What every record holds, besides what the checks of a configuration ask for."""

_REFERENCE = re.compile(r"(\\*)\$\{")
COMPOSING = ("hydra", "defaults")
"""What no record holds: Hydra would take callbacks, directories and other files from there."""


def recorded_tree(run: Path) -> DictConfig:
    """The values that fed a run, tied to each other as they were when it was composed.

    The values are those of ``config.yaml``, in which there is nothing to be resolved any more: a
    ``${oc.env:HOME}`` in it stays that text. Where Hydra's own record has a reference that still
    gives the same value (``${data.root}``), the reference stands, so that overrides travel. Paths
    within the run directory follow ``run_dir``.

    Raises ConfigError if the folder holds no run or the record is damaged.
    """
    file = run / CONFIG
    if not os.path.isfile(file):  # False for a name that is too long, too
        raise ConfigError(f"{run}: no run directory, it has no {CONFIG}; give one that has")
    values = _read(file)
    for key in NEEDED:
        if key not in values:
            raise ConfigError(f"{file}: is not whole, there is no '{key}'")
    for key in COMPOSING:
        if key in values:
            raise ConfigError(
                f"{file}: is no record of a run, it has a key '{key}'", remedy="remove that key"
            )
    composed = run / HYDRA / CONFIG
    tied: Any = _literal(OmegaConf.to_container(values))
    if not isinstance(tied["run_dir"], str) or not tied["run_dir"]:
        raise ConfigError(f"{file}: is not whole, 'run_dir' is {tied['run_dir']!r}")
    if composed.is_file():
        raw = _read(composed)
        raw.run_dir = tied["run_dir"]
        tied = _tied(tied, raw, OmegaConf.to_container(raw, resolve=False))
    run_dir = tied.pop("run_dir")
    tree: DictConfig = OmegaConf.create({**_moved(tied, run_dir), "run_dir": run_dir})
    OmegaConf.set_struct(tree, True)
    return tree


def apply_overrides(
    tree: DictConfig, overrides: Sequence[str], config_dir: Path | None = None
) -> list[str]:
    """Lay overrides over a recorded tree, as Hydra does over a composed one; the keys they set.

    ``group=option`` replaces the node of that name by the one that the option gives now.

    Raises ConfigError for an override that cannot be laid over this tree.
    """
    search = []
    if config_dir is not None:
        if not os.path.isdir(config_dir):
            raise ConfigError(f"--config-dir: {config_dir} is no folder")
        search = [search_path(config_dir)]
    skip_broken_plugins()
    register_settings()
    with hydra.initialize_config_dir(str(shipped_config_dir()), version_base="1.3"):
        try:
            parsed = parse_overrides(overrides)
            known = repository(search)
            choices = [override for override in parsed if _is_choice(override, known)]
            _choose(tree, choices, search)
            values = [override for override in parsed if override not in choices]
            apply_to_composed(values, tree)
        except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(format_error(error, overrides=overrides)) from None
    return [override.key_or_group.replace("/", ".") for override in parsed]


def _read(file: Path) -> DictConfig:
    try:
        tree = OmegaConf.load(StringIO(check_yaml(read_bytes(file))))
    except (YAMLError, OmegaConfBaseException, OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{file}: cannot be read as YAML ({first_line(error)}); is it damaged?"
        ) from error
    if not isinstance(tree, DictConfig):
        raise ConfigError(f"{file}: holds no mapping of keys; is it damaged?")
    return tree


def _moved(value: Any, run_dir: str) -> Any:
    """A tree whose paths within the run directory follow that."""
    if isinstance(value, dict):
        return {key: _moved(inner, run_dir) for key, inner in value.items()}
    if isinstance(value, list):
        return [_moved(inner, run_dir) for inner in value]
    if isinstance(value, str) and f"{value}/".startswith(f"{run_dir}/"):
        return "${run_dir}" + value.removeprefix(run_dir)
    return value


def _literal(value: Any) -> Any:
    """A tree in which OmegaConf finds no references, and these texts."""
    if isinstance(value, dict):
        return {key: _literal(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_literal(inner) for inner in value]
    return _REFERENCE.sub(r"\1\1\\${", value) if isinstance(value, str) else value


def _tied(value: Any, raw: Any, text: Any) -> Any:
    """The recorded values; one whose reference gives the same is the reference again."""
    if isinstance(value, dict) and isinstance(raw, DictConfig):
        return {
            key: _tie(inner, raw, key, text[key]) if key in text else inner
            for key, inner in value.items()
        }
    if isinstance(value, list) and isinstance(raw, ListConfig) and len(raw) == len(value):
        return [_tie(inner, raw, at, text[at]) for at, inner in enumerate(value)]
    return value


def _tie(value: Any, raw: Any, key: Any, text: Any) -> Any:
    if OmegaConf.is_missing(raw, key):
        return value
    if not OmegaConf.is_interpolation(raw, key):
        return _tied(value, raw[key], text)
    try:
        gives = raw[key]
        if OmegaConf.is_config(gives):
            gives = OmegaConf.to_container(gives, resolve=True)
    except OmegaConfBaseException:
        return value
    return text if gives == value else value


def _is_choice(override: Override, known: Any) -> bool:
    if override.is_sweep_override():
        raise ConfigError(f"{override.input_line}: gives several values; an evaluation takes one")
    is_named = isinstance(override.value(), str | list) and not override.is_delete()
    return is_named and not is_value(override, known)


def _choose(tree: DictConfig, choices: Sequence[Override], search: list[str]) -> None:
    if not choices:
        return
    overrides = [*search, *(str(choice.input_line) for choice in choices)]
    composed = hydra.compose(CONFIG_NAME, overrides)
    check_none_is_hidden(overrides)
    for choice in choices:
        key = choice.key_or_group.replace("/", ".")
        node = OmegaConf.select(composed, key)
        if node is None:
            raise ConfigError(
                f"{choice.key_or_group}: what this group sets has no node of its own to replace; "
                f"override keys, or choose among {', '.join(('data', *COMPONENTS, *COLLECTIONS))}"
            )
        OmegaConf.update(tree, key, node, merge=False, force_add=True)
