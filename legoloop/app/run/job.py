"""The job that Hydra is running: a run of its own, or one of a sweep."""

from __future__ import annotations

import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.hydra_bridge.job_config import blueprint_of_tree
from legoloop.app.hydra_bridge.key_origin import user_origins
from legoloop.app.hydra_bridge.messages import format_error
from legoloop.app.hydra_bridge.overrides import task_overrides
from legoloop.app.run.command_state import current_command
from legoloop.app.run.lifecycle import execute, lock_directory, prepare, record_failure
from legoloop.core.errors import ConfigError, UserError


def run_job(tree: DictConfig, blueprint: Blueprint | None = None) -> bool:
    """Carry out the job that Hydra is running; True if it completed.

    A job of a multirun, for which nothing is prepared, is prepared here, maybe in a process of its
    own: whatever is wrong with it is recorded in its directory.

    Args:
        tree: what Hydra hands to the task.
        blueprint: of the job, where it is known; None: it is made from the tree.
    """
    hydra = HydraConfig.get()
    directory = hydra.runtime.output_dir
    waiting = current_command().prepared
    if directory in waiting:
        return execute(*waiting.pop(directory))
    overrides = task_overrides(hydra)
    try:
        if blueprint is None:
            origins = user_origins(hydra)
            blueprint = blueprint_of_tree(tree, origins=origins, overrides=overrides)
        prepared = prepare(blueprint)
    except (ConfigError, OmegaConfBaseException) as error:
        record_failure(Path(directory), tree.get("seed"), overrides, format_error(error))
        print(f"error: {format_error(error)}", file=sys.stderr)
        return False
    try:
        record = lock_directory(prepared)
    except UserError as error:  # the directory is another's: nothing is recorded there
        print(f"error: {format_error(error)}", file=sys.stderr)
        return False
    return execute(prepared, record)


def record_interruption() -> None:
    """Record as interrupted the runs that were prepared, and did not come to begin."""
    waiting = current_command().prepared
    while waiting:
        _, (_, record) = waiting.popitem()
        if record.previous is None:
            record.finish("INTERRUPTED")
        print("interrupted", file=sys.stderr)
