"""The job that Hydra is running: a run of its own, or one of a sweep."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.hydra_bridge.job_config import blueprint_of_tree
from legoloop.app.hydra_bridge.key_origin import user_origins
from legoloop.app.hydra_bridge.messages import format_error
from legoloop.app.hydra_bridge.overrides import task_overrides
from legoloop.app.run.command_state import current_command
from legoloop.app.run.lifecycle import Prepared, execute, lock_directory, prepare, record_failure
from legoloop.core.errors import ConfigError, UserError

if TYPE_CHECKING:
    from legoloop.state.run_record import RunRecord


def run_job(tree: DictConfig, blueprint: Blueprint | None = None) -> bool:
    """Carry out the job that Hydra is running; True if it completed.

    A job of a multirun, for which nothing is prepared, is prepared here, maybe in a process of its
    own: whatever is wrong with it is recorded in its directory.

    Args:
        tree: what Hydra hands to the task.
        blueprint: of the job, where it is known; None: it is made from the tree.
    """
    waiting = current_command().prepared
    directory = HydraConfig.get().runtime.output_dir
    claim = waiting.pop(directory) if directory in waiting else claimed(tree, blueprint)
    return claim is not None and execute(*claim)


def claimed(
    tree: DictConfig,
    blueprint: Blueprint | None = None,
    share: Callable[[Any, Blueprint], None] | None = None,
) -> tuple[Prepared, RunRecord] | None:
    """The job that Hydra is running, prepared, and its directory locked; None if it cannot be.

    Whatever is wrong with it is printed, and recorded in its directory.

    Args:
        tree: what Hydra hands to the task.
        blueprint: of the job, where it is known; None: it is made from the tree.
        share: is given the app, and may give it what another one has built.
    """
    hydra = HydraConfig.get()
    directory = hydra.runtime.output_dir
    overrides = task_overrides(hydra)
    try:
        if blueprint is None:
            origins = user_origins(hydra)
            blueprint = blueprint_of_tree(tree, origins=origins, overrides=overrides)
        prepared = prepare(blueprint, share)
    except (ConfigError, OmegaConfBaseException) as error:
        record_failure(Path(directory), tree.get("seed"), overrides, format_error(error))
        print(f"error: {format_error(error)}", file=sys.stderr)
        return None
    try:
        record = lock_directory(prepared)
    except UserError as error:  # the directory is another's: nothing is recorded there
        print(f"error: {format_error(error)}", file=sys.stderr)
        return None
    return prepared, record


def record_interruption() -> None:
    """Record as interrupted the runs that were prepared, and did not come to begin."""
    waiting = current_command().prepared
    while waiting:
        _, (_, record) = waiting.popitem()
        if record.previous is None:
            record.finish("INTERRUPTED")
        print("interrupted", file=sys.stderr)
