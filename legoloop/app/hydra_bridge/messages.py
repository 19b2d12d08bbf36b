"""One message for each mistake: the key, where it was set, what is wrong, what would be right."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, ListConfig
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException
from yaml import MarkedYAMLError

from legoloop.app.config.nodes import NodeError
from legoloop.app.hydra_bridge.job_config import all_overrides
from legoloop.app.hydra_bridge.key_origin import origin
from legoloop.app.hydra_bridge.shipped_config import CONFIG_NAME, shipped_config_dir
from legoloop.core.suggestions import did_you_mean


def told(error: BaseException, config: DictConfig | None = None) -> str:
    """The message of a mistake in the configuration.

    ``config`` is the composed tree, Hydra's part included: with it, the place where a key was set
    is told too.
    """
    if isinstance(error, NodeError):
        return f"{error.key}{place(error.key, config)}: {error.message}"
    if isinstance(error, MissingConfigException):
        return _no_such_option(error)
    if isinstance(error, OverrideParseException):
        return f"{error.override}: not an override that Hydra can read; {_first_line(error)}"
    cause = error.__cause__
    if isinstance(error, HydraException) and isinstance(cause, ConfigKeyError | AttributeError):
        return _no_such_key(error, cause)
    if isinstance(error, HydraException) and isinstance(cause, OmegaConfBaseException):
        return f"{_first_line(error)}: {_first_line(cause)}"
    if isinstance(error, OmegaConfBaseException) and (key := error.full_key or _broken(config)):
        return f"{key}{place(key, config)}: {_first_line(error)}"
    if isinstance(error, MarkedYAMLError) and (mark := error.problem_mark):
        return f"{mark.name}, line {mark.line + 1}: not YAML that can be read: {error.problem}"
    if isinstance(error, ValueError) and str(error).startswith("Config group override"):
        return "a group takes the name of one of its options; take it away with ~group"
    return _first_line(error)


def place(key: str, config: DictConfig | None) -> str:
    """Where the key was set, or the nearest key above it, in brackets; nothing if nobody knows."""
    if config is None:
        return ""
    name = config.hydra.job.config_name or CONFIG_NAME
    while key:
        found = origin(key, name, all_overrides(config.hydra))
        if found is not None:
            return f" ({found})"
        key = key.rpartition(".")[0]
    return ""


def _broken(tree: DictConfig | ListConfig | None, path: str = "") -> str | None:
    """The first key whose value refers to what is not there."""
    if tree is None:
        return None
    keys: Iterable[Any] = range(len(tree)) if isinstance(tree, ListConfig) else tree
    for key in keys:
        if key == "hydra":
            continue
        try:
            value = tree[key]
        except OmegaConfBaseException:
            return f"{path}{key}"
        is_inner = isinstance(value, DictConfig | ListConfig)
        if is_inner and (found := _broken(value, f"{path}{key}.")):
            return found
    return None


def _no_such_option(error: MissingConfigException) -> str:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    options = error.options or [file.stem for file in (shipped_config_dir() / group).glob("*.yaml")]
    if not group or not options:
        return _first_line(error)
    return f"{group}={option}: there is no such option; {did_you_mean(option, options)}"


def _no_such_key(error: HydraException, cause: BaseException) -> str:
    key = getattr(cause, "full_key", None)
    parent = getattr(cause, "parent_node", None)
    if not key or not isinstance(parent, DictConfig):
        return _first_line(error)
    names = [str(name) for name in parent if name != "hydra"]
    return (
        f"{key} (command line): there is no such key or group; to add it, write +{key}=…; "
        f"{did_you_mean(key.rpartition('.')[2], names)}"
    )


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
