"""Whether the launcher of a sweep can be had, before anything is created."""

from __future__ import annotations

from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from legoloop.app.hydra_bridge.internals import instantiate_plugin, is_known_plugin
from legoloop.core.errors import ArgumentError, ConfigError
from legoloop.core.text import shown

KEY = "hydra.launcher"


def check_launcher(config: DictConfig) -> None:
    """Raises ConfigError if the launcher of a composed configuration cannot be made.

    And if it does not give each run as many machines as the setting ``nodes`` says.
    """
    target = str(config.hydra.launcher._target_)
    if not is_known_plugin(target):
        raise ConfigError(f"{target} is no launcher; is its package installed?", key=KEY)
    try:
        launcher = instantiate_plugin(config.hydra.launcher)
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, ArgumentError) and cause.argument:
            raise cause.located(key=f"{KEY}.{cause.argument}") from None
        if isinstance(cause, ConfigError) and cause.key is None and "hydra/" in str(cause):
            raise cause from None
        raise ConfigError(str(cause), key=KEY) from None
    _check_nodes(getattr(launcher, "nodes", 1), config)


def _check_nodes(given: int, config: DictConfig) -> None:
    wanted = OmegaConf.select(config, "nodes", default=1)
    if given == wanted:
        return
    if given == 1:
        name = OmegaConf.select(config, "hydra.runtime.choices")["hydra/launcher"]
        raise ConfigError(
            f"is {shown(wanted)}, but hydra/launcher={name} gives each run one machine",
            key="nodes",
            remedy="take hydra/launcher=slurm or ray; or run it without -m, with torchrun",
        )
    raise ConfigError(
        f"is {given}, but nodes is {shown(wanted)}",
        key=f"{KEY}.nodes",
        remedy=f"give nodes={given}",
    )
