"""The message of an error that composing a configuration raised: one line, with a remedy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, ListConfig
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException
from yaml import MarkedYAMLError

from legoloop.app.hydra_bridge.key_origin import where_set
from legoloop.app.hydra_bridge.shipped_config import shipped_config_dir
from legoloop.core.errors import ConfigError
from legoloop.core.suggestions import did_you_mean


def as_config_error(error: BaseException, config: DictConfig | None = None) -> ConfigError:
    """A mistake in the configuration, whoever found it, as an error of ours.

    Args:
        error: what Hydra, OmegaConf, the YAML parser or the checks raised.
        config: the composed tree, Hydra's part included: with it, the message also says where
            the key was set.
    """
    if isinstance(error, ConfigError):
        if error.key is None or error.where is not None:
            return error
        return error.located(where=where_set(error.key, config))
    if isinstance(error, MissingConfigException):
        return _no_such_option(error)
    if isinstance(error, OverrideParseException):
        return ConfigError(
            f"not an override that Hydra can read; {_first_line(error)}", key=error.override
        )
    cause = error.__cause__
    if isinstance(error, HydraException) and isinstance(cause, ConfigKeyError | AttributeError):
        return _no_such_key(error, cause)
    if isinstance(error, HydraException) and isinstance(cause, OmegaConfBaseException):
        return ConfigError(f"{_first_line(error)}: {_first_line(cause)}")
    if isinstance(error, OmegaConfBaseException) and (key := error.full_key or _broken(config)):
        return ConfigError(_first_line(error), key=key, where=where_set(key, config))
    if isinstance(error, MarkedYAMLError) and (mark := error.problem_mark):
        return ConfigError(
            f"{mark.name}, line {mark.line + 1}: not YAML that can be read: {error.problem}"
        )
    if isinstance(error, ValueError) and str(error).startswith("Config group override"):
        return ConfigError("a group takes the name of one of its options; remove it with ~group")
    return ConfigError(_first_line(error))


def format_error(error: BaseException, config: DictConfig | None = None) -> str:
    """The message of ``as_config_error``."""
    return str(as_config_error(error, config))


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


def _no_such_option(error: MissingConfigException) -> ConfigError:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    options = error.options or [file.stem for file in (shipped_config_dir() / group).glob("*.yaml")]
    if not group or not options:
        return ConfigError(_first_line(error))
    return ConfigError(
        "there is no such option", key=f"{group}={option}", remedy=did_you_mean(option, options)
    )


def _no_such_key(error: HydraException, cause: BaseException) -> ConfigError:
    key = getattr(cause, "full_key", None)
    parent = getattr(cause, "parent_node", None)
    if not key or not isinstance(parent, DictConfig):
        return ConfigError(_first_line(error))
    names = [str(name) for name in parent if name != "hydra"]
    return ConfigError(
        f"there is no such key or group; to add it, write +{key}=…",
        key=key,
        where="command line",
        remedy=did_you_mean(key.rpartition(".")[2], names),
    )


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
