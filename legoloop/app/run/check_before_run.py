"""A callback that Hydra calls before it creates anything, so that a mistake costs nothing.

Hydra makes the run directory before it calls the task, and swallows what a callback raises unless
it is SystemExit: so the checks, the building and the lock of the directory are here, and what was
prepared waits for the task.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from legoloop.app.hydra_bridge.job_config import (
    blueprint_of_job,
    run_directory,
    sweep_directory,
)
from legoloop.app.hydra_bridge.key_origin import where_set
from legoloop.app.hydra_bridge.messages import format_error
from legoloop.app.hydra_bridge.overrides import all_overrides
from legoloop.app.run.command_state import current_command
from legoloop.app.run.lifecycle import lock_directory, prepare
from legoloop.core.errors import ConfigError, UserError

WRONG_CONFIGURATION = 2


class CheckBeforeRun(Callback):
    """Refuses a wrong configuration with one message and exit status 2; prepares the run."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Prepare the run and lock its directory, or show what ``show`` asks for."""
        command = current_command()
        command.has_composed = True
        with _reporting_errors(config):
            blueprint = blueprint_of_job(config, run_directory(config))
            if blueprint.settings.show is not None:
                from legoloop.app.show.show import show

                print(show(blueprint, lambda key: where_set(key, config)))
                raise SystemExit(0)
            prepared = prepare(blueprint)
            command.prepared[str(prepared.directory)] = prepared, lock_directory(prepared)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """The sweeper takes over, in a folder that can be."""
        current_command().has_composed = True
        with _reporting_errors(config):
            sweep_directory(config)


@contextmanager
def _reporting_errors(config: DictConfig) -> Iterator[None]:
    """Whatever is raised inside ends the process: anything else Hydra would swallow."""
    try:
        yield
    except (ConfigError, HydraException, OmegaConfBaseException) as error:
        print(f"error: {format_error(error, config, all_overrides(config.hydra))}", file=sys.stderr)
        raise SystemExit(WRONG_CONFIGURATION) from None
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except Exception:
        traceback.print_exc()
        raise SystemExit(1) from None
