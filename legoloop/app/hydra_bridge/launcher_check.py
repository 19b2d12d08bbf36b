"""Whether the launcher of a sweep can be had, before anything is created."""

from __future__ import annotations

from hydra.errors import InstantiationException
from omegaconf import DictConfig

from legoloop.app.hydra_bridge.internals import instantiate_plugin, is_known_plugin
from legoloop.core.errors import ArgumentError, ConfigError

KEY = "hydra.launcher"


def check_launcher(config: DictConfig) -> None:
    """Raises ConfigError if the launcher of a composed configuration cannot be made."""
    target = str(config.hydra.launcher._target_)
    if not is_known_plugin(target):
        raise ConfigError(f"{target} is no launcher; is its package installed?", key=KEY)
    try:
        instantiate_plugin(config.hydra.launcher)
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, ArgumentError) and cause.argument:
            raise cause.located(key=f"{KEY}.{cause.argument}") from None
        if isinstance(cause, ConfigError) and cause.key is None and "hydra/" in str(cause):
            raise cause from None
        raise ConfigError(str(cause), key=KEY) from None
