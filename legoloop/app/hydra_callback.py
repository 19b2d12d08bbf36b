"""Hears Hydra before it creates anything, so that a mistake in the configuration costs nothing.

Hydra makes the run directory before it calls the task, and swallows what a callback raises unless
it is SystemExit: so the checks, the building and the claim of the directory are here, and what was
prepared waits for the task.
"""

from __future__ import annotations

import sys
import traceback
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from legoloop.app.hydra_jobs import begin_job
from legoloop.app.messages import told
from legoloop.app.running import Prepared, carry_out, claim, prepare
from legoloop.core.errors import ConfigError
from legoloop.state.run_record import RunRecord

WRONG_CONFIGURATION = 2

_waiting: dict[str, tuple[Prepared, RunRecord]] = {}


class CheckBeforeRun(Callback):
    """Refuses a wrong configuration with one message and exit status 2; prepares the run."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Prepare the run and claim its directory."""
        try:
            prepared = prepare(begin_job(config))
            _waiting[str(prepared.directory)] = prepared, claim(prepared)
        except (ConfigError, OmegaConfBaseException) as error:
            print(f"error: {told(error, config)}", file=sys.stderr)
            raise SystemExit(WRONG_CONFIGURATION) from None
        except Exception:
            traceback.print_exc()
            raise SystemExit(1) from None


def run_job(tree: DictConfig) -> bool:
    """Carry out the job that Hydra is running; True if it completed.

    Raises ConfigError if nothing was prepared for it, as in a multirun, and its configuration is
    wrong.
    """
    directory = HydraConfig.get().runtime.output_dir
    if directory not in _waiting:
        prepared = prepare(tree)
        _waiting[directory] = prepared, claim(prepared)
    return carry_out(*_waiting.pop(directory))
