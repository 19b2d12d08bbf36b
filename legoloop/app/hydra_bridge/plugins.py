"""The sweeper and the launchers that legoloop brings, made known to Hydra, and checked."""

from __future__ import annotations

from typing import Any

from hydra.core.plugins import Plugins
from hydra.errors import InstantiationException
from hydra.plugins.plugin import Plugin
from omegaconf import DictConfig

from legoloop.app.hydra_bridge.broken_plugins import skip_broken_plugins
from legoloop.app.hydra_bridge.shared_store import share_config_store
from legoloop.app.sweep.grid_sweeper import GridSweeper
from legoloop.app.sweep.launchers.joblib_launcher import JoblibLauncher
from legoloop.app.sweep.launchers.process_launcher import ProcessLauncher
from legoloop.app.sweep.launchers.ray_launcher import RayLauncher
from legoloop.app.sweep.launchers.submitit_launcher import LocalLauncher, SlurmLauncher
from legoloop.core.errors import ArgumentError, ConfigError, MissingExtraError

PLUGINS: tuple[type[Plugin], ...] = (
    GridSweeper,
    ProcessLauncher,
    JoblibLauncher,
    LocalLauncher,
    SlurmLauncher,
    RayLauncher,
)


def register_plugins() -> None:
    """Make them known to Hydra, as ``hydra_plugins.legoloop.Name``; again does nothing."""
    skip_broken_plugins()
    share_config_store()
    known = Plugins.instance().class_name_to_class
    for plugin in PLUGINS:
        # Hydra takes plugins by such a name alone. The class keeps its own name and module, by
        # which the processes of the jobs find it.
        known[f"hydra_plugins.legoloop.{plugin.__name__}"] = plugin


def check_launcher(config: DictConfig) -> None:
    """Raises ConfigError if the launcher of a composed configuration cannot be had, or made."""
    target = config.hydra.launcher._target_
    plugins: Any = Plugins.instance()
    if target not in plugins.class_name_to_class:
        raise ConfigError(f"hydra.launcher: {target} is no launcher; is its package installed?")
    try:
        plugins._instantiate(config.hydra.launcher)
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, MissingExtraError):
            raise cause from None
        key, message = str(cause).split(" ", 1)
        where = f".{key}: {message}" if isinstance(cause, ArgumentError) else f": {cause}"
        raise ConfigError(f"hydra.launcher{where}") from None
