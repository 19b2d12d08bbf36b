"""The command: ``python -m legoloop.run [group=option] [key=value]``."""

from __future__ import annotations

import errno
import logging
import os
import sys
from typing import TYPE_CHECKING

import hydra

from legoloop.app.hydra_bridge.compose_once import compose_once
from legoloop.app.hydra_bridge.plugins import register_plugins
from legoloop.app.hydra_bridge.shipped_config import CONFIG_NAME, shipped_config_dir
from legoloop.app.run.signals import interruptions
from legoloop.app.startup import gc_tuning as garbage
from legoloop.app.startup.cwd_on_path import modules_on_path
from legoloop.app.startup.lazy_di_wiring import execute_wiring_later
from legoloop.core.errors import ConfigError
from legoloop.core.interruption import Interrupted

if TYPE_CHECKING:
    from omegaconf import DictConfig


OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


class JobFailed(Exception):
    """A job of a multirun that was recorded as failed and whose cause was told."""


def command() -> None:
    """``main`` as a process of its own."""
    garbage.defer_gc()
    execute_wiring_later()
    main()


def main() -> None:
    """Compose, check, run; the exit status tells how it ended.

    0: completed, 1: failed, 2: a mistake in the configuration, 130 or 143: interrupted.
    """
    from hydra.errors import HydraException

    # Hydra raises its errors instead of printing them: they are told here, in one message.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # A log that the disk does not take ends nothing.
    logging.raiseExceptions = False
    modules_on_path()
    try:
        with interruptions():
            register_plugins()
            compose_once()
            home, primary = str(shipped_config_dir()), _primary_config()
            hydra.main(version_base="1.3", config_path=home, config_name=primary)(task)()
    except JobFailed:
        sys.exit(1)
    except Interrupted as interruption:
        if _had_begun():
            from legoloop.app.hydra_bridge.check_before_run import give_up

            give_up()
        sys.exit(interruption.status)
    except Exception as error:
        if (failed := _failure_of_the_disk(error)) is not None:
            # At what Hydra writes of its own; the system does not always say where.
            where = failed.filename or "the run directory"
            print(f"error: {where} cannot be written ({failed.strerror})", file=sys.stderr)
            sys.exit(1)
        if _had_begun() and not isinstance(error, HydraException | ConfigError):
            raise
        from legoloop.app.hydra_bridge.messages import told

        print(f"error: {told(error)}", file=sys.stderr)
        sys.exit(2)


def _primary_config() -> str:
    """The name of the configuration that ships, or of the record of the run that is made again."""
    if any(argument.startswith("--experimental-rerun") for argument in sys.argv[1:]):
        raise ConfigError("--experimental-rerun: goes past all checks; give rerun=RUN instead")
    if not any("rerun=" in argument for argument in sys.argv[1:]):
        return CONFIG_NAME
    from legoloop.app.run.rerun import primary_config

    return primary_config(sys.argv[1:])


def task(tree: DictConfig) -> None:
    """One run, in the directory that Hydra gave it."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from legoloop.app.hydra_bridge.check_before_run import run_job

    is_of_a_sweep = HydraConfig.get().mode is RunMode.MULTIRUN
    garbage.restore_gc(is_only_run=not is_of_a_sweep)
    if is_of_a_sweep:
        _job_of_a_sweep(tree)
    elif not run_job(tree):
        sys.exit(1)


def _job_of_a_sweep(tree: DictConfig) -> None:
    """Whatever ends the job, ends it alone; what it raised is not kept until the sweep ends."""
    from legoloop.app.hydra_bridge.check_before_run import run_job

    try:
        completed = run_job(tree)
    except (Exception, SystemExit) as error:
        print(f"error: {error!r}", file=sys.stderr)
        completed = False
    if not completed:
        raise JobFailed


def _failure_of_the_disk(error: BaseException | None) -> OSError | None:
    """What the disk refused, if that is what an error comes from."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in OF_THE_DISK:
            return error
        error = error.__cause__ or error.__context__
    return None


def _had_begun() -> bool:
    """Whether Hydra was done composing; what it raises before that is about the configuration."""
    return "legoloop.app.hydra_bridge.check_before_run" in sys.modules


if __name__ == "__main__":
    command()
