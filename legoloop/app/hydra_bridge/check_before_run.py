"""Hears Hydra before it creates anything, so that a mistake in the configuration costs nothing.

Hydra makes the run directory before it calls the task, and swallows what a callback raises unless
it is SystemExit: so the checks, the building and the claim of the directory are here, and what was
prepared waits for the task.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from legoloop.app.config.nodes import NodeError
from legoloop.app.hydra_bridge.job_config import resolve_job_config, run_directory, written
from legoloop.app.hydra_bridge.key_origin import set_keys
from legoloop.app.hydra_bridge.messages import place, told
from legoloop.app.run.lifecycle import Prepared, claim, execute, fail, prepare
from legoloop.app.wiring.make_app import validated_app
from legoloop.core.errors import ConfigError, UserError
from legoloop.state.run_record import RunRecord

WRONG_CONFIGURATION = 2

_waiting: dict[str, tuple[Prepared, RunRecord]] = {}


class CheckBeforeRun(Callback):
    """Refuses a wrong configuration with one message and exit status 2; prepares the run."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Prepare the run and claim its directory."""
        with _told(config):
            tree = resolve_job_config(config, run_directory(config))
            if tree.get("show") is not None:
                _show(tree, config)
            prepared = prepare(tree)
            _waiting[str(prepared.directory)] = prepared, claim(prepared)


def _show(tree: DictConfig, config: DictConfig) -> None:
    from legoloop.app.show.plan import listing

    validated_app(tree, list(set_keys(config.hydra)))
    if tree.show == "plan" and tree.get("app") is not None:
        raise NodeError("show", "lists bricks of the tree; for your app print(host.plan.table())")
    print(listing(tree, lambda key: place(key, config).strip()))
    raise SystemExit(0)


@contextmanager
def _told(config: DictConfig) -> Iterator[None]:
    """Whatever is raised inside ends the process: anything else Hydra would swallow."""
    try:
        yield
    except (ConfigError, HydraException, OmegaConfBaseException) as error:
        print(f"error: {told(error, config)}", file=sys.stderr)
        raise SystemExit(WRONG_CONFIGURATION) from None
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except Exception:
        traceback.print_exc()
        raise SystemExit(1) from None


def give_up() -> None:
    """Record as interrupted what was prepared, and did not come to begin."""
    while _waiting:
        _, (_, record) = _waiting.popitem()
        if record.previous is None:
            record.finish("INTERRUPTED")
        print("interrupted", file=sys.stderr)


def run_job(tree: DictConfig) -> bool:
    """Carry out the job that Hydra is running; True if it completed.

    A job of a multirun, for which nothing waits, is prepared here, maybe in a process of its own:
    whatever is wrong with it is recorded in its directory.
    """
    hydra = HydraConfig.get()
    if hydra.runtime.output_dir in _waiting:
        return execute(*_waiting.pop(hydra.runtime.output_dir))
    try:
        prepared = prepare(tree)
    except (ConfigError, OmegaConfBaseException) as error:
        directory = Path(hydra.runtime.output_dir)
        fail(directory, tree.get("seed"), written(hydra), told(error))
        print(f"error: {told(error)}", file=sys.stderr)
        return False
    try:
        record = claim(prepared)
    except ConfigError as error:  # the directory is another's: nothing is recorded there
        print(f"error: {told(error)}", file=sys.stderr)
        return False
    return execute(prepared, record)
