"""The command: ``python -m legoloop.run [group=option] [key=value]``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import hydra

from legoloop.app.config_home import CONFIG_NAME, config_home
from legoloop.app.modules_here import find_modules_here
from legoloop.core.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig


class JobFailed(Exception):
    """A job of a multirun that was recorded as failed and whose cause was told."""


def main() -> None:
    """Compose, check, run; the exit status tells how it ended.

    0: completed, 1: failed, 2: a mistake in the configuration, 130: interrupted.
    """
    from hydra.errors import HydraException

    # Hydra raises its errors instead of printing them: they are told here, in one message.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    find_modules_here()
    command = hydra.main(
        version_base="1.3", config_path=str(config_home()), config_name=CONFIG_NAME
    )
    try:
        command(task)()
    except JobFailed:
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if _had_begun() and not isinstance(error, HydraException | ConfigError):
            raise
        from legoloop.app.messages import told

        print(f"error: {told(error)}", file=sys.stderr)
        sys.exit(2)
    finally:
        if _had_begun():
            from legoloop.app.hydra_callback import end_sweep

            end_sweep()


def task(tree: DictConfig) -> None:
    """One run, in the directory that Hydra gave it."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from legoloop.app.hydra_callback import run_job

    if HydraConfig.get().mode is RunMode.MULTIRUN:
        _job_of_a_sweep(tree)
    elif not run_job(tree):
        sys.exit(1)


def _job_of_a_sweep(tree: DictConfig) -> None:
    """Whatever ends the job, ends it alone; what it raised is not kept until the sweep ends."""
    from legoloop.app.hydra_callback import run_job

    try:
        completed = run_job(tree)
    except (Exception, SystemExit) as error:
        print(f"error: {error!r}", file=sys.stderr)
        completed = False
    if not completed:
        raise JobFailed


def _had_begun() -> bool:
    """Whether Hydra was done composing; what it raises before that is about the configuration."""
    return "legoloop.app.hydra_callback" in sys.modules


if __name__ == "__main__":
    main()
