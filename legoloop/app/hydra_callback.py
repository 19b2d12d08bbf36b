"""Hears Hydra before it creates anything, so that a mistake in the configuration costs nothing.

Hydra makes the run directory before it calls the task, and swallows what a callback raises unless
it is SystemExit: so the checks, the building and the claim of the directory are here, and what was
prepared waits for the task.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from legoloop.app.messages import told
from legoloop.app.running import Prepared, carry_out, claim, prepare
from legoloop.core.errors import ConfigError
from legoloop.state.run_record import RunRecord

WRONG_CONFIGURATION = 2

Waiting = tuple[Prepared, RunRecord]
_waiting: dict[str, Waiting] = {}


class CheckBeforeRun(Callback):
    """Refuses a wrong configuration with one message and exit status 2; prepares the run."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Prepare the run and claim its directory."""
        try:
            directory = str(Path(config.hydra.run.dir).absolute())
            _tell_hydra(config, directory)
            prepared = prepared_job(without_hydra(config))
            _waiting[directory] = prepared, claim(prepared)
        except (ConfigError, OmegaConfBaseException) as error:
            print(f"error: {told(error, config)}", file=sys.stderr)
            raise SystemExit(WRONG_CONFIGURATION) from None


def run_job(tree: DictConfig) -> bool:
    """Carry out the job that Hydra is running; True if it completed.

    Raises ConfigError if nothing was prepared for it, as in a multirun, and its configuration is
    wrong.
    """
    directory = HydraConfig.get().runtime.output_dir
    if directory not in _waiting:
        prepared = prepared_job(tree)
        _waiting[directory] = prepared, claim(prepared)
    return carry_out(*_waiting.pop(directory))


def prepared_job(tree: DictConfig) -> Prepared:
    """The run of the job that Hydra is at."""
    overrides = list(HydraConfig.get().overrides.task)
    return prepare(tree, overrides, list(_set_keys(overrides)))


def without_hydra(config: DictConfig) -> DictConfig:
    """The tree of the app alone."""
    tree = config.copy()
    with read_write(tree), open_dict(tree):
        del tree["hydra"]
    return tree


def _tell_hydra(config: DictConfig, directory: str) -> None:
    """What Hydra itself does a moment later; interpolations need it now."""
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = directory
    HydraConfig.instance().set_config(config)


def _set_keys(overrides: list[str]) -> Iterator[str]:
    """The keys that the user set on the command line, group choices left out."""
    loader = GlobalHydra.instance().config_loader()
    for override in OverridesParser.create().parse_overrides(overrides):
        if not loader.get_group_options(override.key_or_group):
            yield override.key_or_group
