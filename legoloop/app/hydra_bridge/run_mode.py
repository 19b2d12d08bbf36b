"""Settings of Hydra that only a single run reads, or only a sweep: refused in the other."""

from __future__ import annotations

from omegaconf import DictConfig

from legoloop.app.config.paths import is_under
from legoloop.app.hydra_bridge.overrides import all_overrides, parse_overrides
from legoloop.core.errors import ConfigError

OF_A_RUN = ("hydra.run",)
OF_A_SWEEP = ("hydra.sweep", "hydra.launcher", "hydra.sweeper", "sweep")
COMMAND_LINE = "command line"


def check_read_by_run(config: DictConfig) -> None:
    """Raises ConfigError for an override that only a sweep reads."""
    if key := _given(config, OF_A_SWEEP):
        raise ConfigError(
            "only a sweep reads this",
            key=key,
            where=COMMAND_LINE,
            remedy="leave it out, or add -m"
            + (", or set hydra.run.dir" if is_under(key, "hydra.sweep") else ""),
        )


def check_read_by_sweep(config: DictConfig) -> None:
    """Raises ConfigError for an override that only a single run reads."""
    if key := _given(config, OF_A_RUN):
        raise ConfigError(
            "only a single run reads this",
            key=key,
            where=COMMAND_LINE,
            remedy="set hydra.sweep.dir, or leave out -m",
        )


def _given(config: DictConfig, keys: tuple[str, ...]) -> str | None:
    """The first override of the command line that sets one of the keys, or something in it."""
    for override in parse_overrides(all_overrides(config.hydra)):
        name = override.key_or_group.replace("/", ".")
        if any(is_under(name, key) for key in keys):
            return str(override.key_or_group)
    return None
