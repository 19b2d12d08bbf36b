"""The command: ``python -m legoloop.run [group=option] [key=value]``."""

from __future__ import annotations

import errno
import logging
import os
import sys
from typing import TYPE_CHECKING

import hydra

import legoloop
from legoloop.app.hydra_bridge.shipped_config import CONFIG_NAME, shipped_config_dir
from legoloop.app.run.command_state import CommandState, new_command
from legoloop.app.run.signals import interruptions
from legoloop.app.startup import gc_tuning
from legoloop.app.startup.cwd_on_path import modules_on_path
from legoloop.app.startup.plugins_on_path import plugins_on_path
from legoloop.app.startup.torchrun_environment import has_started, is_first, with_ranks
from legoloop.core.errors import ConfigError, DataError, UserError
from legoloop.core.interruption import Interrupted
from legoloop.core.output_streams import expect_lost_reader, silence, tolerant_output

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from legoloop.app.config.blueprint import Blueprint

LOOKS = ("show=", "-h", "--help", "--hydra-help", "-c", "--cfg", "-i", "--info")
"""The arguments that print something and run nothing."""
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


class JobFailed(Exception):
    """A job of a multirun that was recorded as failed and whose cause was printed."""


def command() -> None:
    """``main`` as a process of its own."""
    gc_tuning.defer_gc()
    main()


@tolerant_output()
def main() -> None:
    """Compose, check, run; the exit status says how it ended.

    0: completed, 1: failed, 2: a mistake in the configuration, 130 or 143: interrupted.
    """
    if "--version" in sys.argv[1:]:
        print(f"legoloop {legoloop.__version__} (Hydra {hydra.__version__})")
        return
    # Hydra raises its errors instead of printing them: they are printed here, in one line.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # A log that the disk does not take ends nothing.
    logging.raiseExceptions = False
    if has_started() and not is_first():
        _join_training()
        return
    with new_command() as state:
        try:
            if has_started():
                sys.argv[1:] = with_ranks(sys.argv[1:])
            if any(argument.startswith(LOOKS) for argument in sys.argv[1:]):
                expect_lost_reader()
            modules_on_path()
            plugins_on_path()
            with interruptions():
                _run_hydra()
                sys.stdout.flush()
        except JobFailed:
            sys.exit(1)
        except Interrupted as interruption:
            if state.has_composed:
                from legoloop.app.run.job import record_interruption

                record_interruption()
            sys.exit(interruption.status)
        except Exception as error:
            sys.exit(_report(error, state))
        finally:
            if has_started():
                from legoloop.app.run.torchrun import release_ranks

                release_ranks()


def _join_training() -> None:
    """As a rank that torchrun has started: what rank 0 prints, this one does not."""
    from legoloop.app.run.torchrun import join_training

    modules_on_path()
    errors = os.dup(sys.stderr.fileno())
    silence()
    try:
        join_training()
    except Interrupted as interruption:
        sys.exit(interruption.status)
    except UserError as error:
        os.write(errors, f"error: rank {os.environ['RANK']}: {error}\n".encode())
        sys.exit(1)
    except Exception:
        os.dup2(errors, sys.stderr.fileno())
        raise


def _run_hydra() -> None:
    from legoloop.app.hydra_bridge.broken_plugins import skip_broken_plugins
    from legoloop.app.hydra_bridge.internals import composed_once, groups_listed_once
    from legoloop.app.hydra_bridge.shipped_config import register_settings

    skip_broken_plugins()
    register_settings()
    home, primary = str(shipped_config_dir()), _primary_config()
    with composed_once(), groups_listed_once():
        hydra.main(version_base="1.3", config_path=home, config_name=primary)(task)()


def _report(error: Exception, state: CommandState) -> int:
    """Print a mistake of the user's, or a failure of the disk; raise what is a bug."""
    from hydra.errors import HydraException

    if (failed := _failure_of_the_disk(error)) is not None:
        where = failed.filename or _written_by(failed)
        print(f"error: {where} cannot be written ({failed.strerror})", file=sys.stderr)
        return 1
    if isinstance(error, DataError):  # of a sweep's own files
        print(f"error: {error}", file=sys.stderr)
        return 1
    if state.has_composed and not isinstance(error, HydraException | ConfigError):
        raise error
    from legoloop.app.hydra_bridge.command_line import overrides_in
    from legoloop.app.hydra_bridge.messages import format_error

    message = format_error(error, overrides=overrides_in(sys.argv[1:]))
    print(f"error: {message}", file=sys.stderr)
    return 2


def _primary_config() -> str:
    """The name of the configuration that ships, or of the record of the run that is made again."""
    from legoloop.app.hydra_bridge.command_line import check_flags
    from legoloop.app.hydra_bridge.internals import flags_last

    check_flags(sys.argv[1:])
    sys.argv[1:] = flags_last(sys.argv[1:])
    if not any("rerun=" in argument for argument in sys.argv[1:]):
        return CONFIG_NAME
    from legoloop.app.run.rerun import primary_config

    return primary_config(sys.argv[1:])


def task(tree: DictConfig, blueprint: Blueprint | None = None) -> None:
    """One run, in the directory that Hydra gave it.

    Args:
        tree: what Hydra composed, without its own part.
        blueprint: of a job of a sweep, as it was checked.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from legoloop.app.run.job import run_job

    is_of_a_sweep = HydraConfig.get().mode is RunMode.MULTIRUN
    gc_tuning.restore_gc(is_only_run=not is_of_a_sweep)
    if is_of_a_sweep:
        _job_of_a_sweep(tree, blueprint)
    elif not run_job(tree):
        sys.exit(1)


task.is_one_run = True  # type: ignore[attr-defined]  # what launchers may train together


def _job_of_a_sweep(tree: DictConfig, blueprint: Blueprint | None) -> None:
    """Whatever ends the job, ends it alone; what it raised is not kept until the sweep ends."""
    from legoloop.app.run.job import run_job

    try:
        completed = run_job(tree, blueprint)
    except (Exception, SystemExit) as error:
        print(f"error: {error!r}", file=sys.stderr)
        completed = False
    if not completed:
        raise JobFailed


def _failure_of_the_disk(error: BaseException | None) -> OSError | None:
    """The error of the disk that an error comes from, if there is one."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            return error
        error = error.__cause__ or error.__context__
    return None


def _written_by(error: OSError) -> str:
    """What was being written, where the system does not say it: by the code that did."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    module = "hydra" if at is None else str(at.tb_frame.f_globals.get("__name__"))
    if at is None or module.partition(".")[0] in ("hydra", "omegaconf", "yaml"):
        return "the run directory"
    return f"what {module} writes in line {at.tb_lineno}"


if __name__ == "__main__":
    command()
