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

from legoloop.app.hydra_jobs import begin_job, written
from legoloop.app.listing import listing
from legoloop.app.making import checked_app
from legoloop.app.messages import place, told
from legoloop.app.nodes import NodeError
from legoloop.app.origin import set_keys
from legoloop.app.running import Prepared, carry_out, claim, prepare
from legoloop.app.sweeping import check_jobs, jobs_of, sum_up
from legoloop.core.errors import ConfigError
from legoloop.state.run_record import RunRecord
from legoloop.state.sweep_record import claim_sweep

WRONG_CONFIGURATION = 2

_waiting: dict[str, tuple[Prepared, RunRecord]] = {}
_sweeps: list[Path] = []


class CheckBeforeRun(Callback):
    """Refuses a wrong configuration with one message and exit status 2; prepares the run."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Prepare the run and claim its directory."""
        with _told(config):
            tree = begin_job(config, config.hydra.run.dir)
            if tree.get("show") is not None:
                _show(tree, config)
            prepared = prepare(tree)
            _waiting[str(prepared.directory)] = prepared, claim(prepared)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check every job and claim the sweep's directory."""
        with _told(config):
            if config.get("show") is not None:
                raise NodeError("show", "shows one run; leave out -m")
            jobs = jobs_of(config)
            check_jobs(config, jobs)
            directory = Path(config.hydra.sweep.dir).absolute()
            claim_sweep(directory, jobs)
            _sweeps.append(directory)


def _show(tree: DictConfig, config: DictConfig) -> None:
    checked_app(tree, list(set_keys(config.hydra)))
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
    except Exception:
        traceback.print_exc()
        raise SystemExit(1) from None


def end_sweep() -> None:
    """Sum up the sweep that began, if one did; Hydra tells nobody of an end with failures."""
    while _sweeps:
        sum_up(_sweeps.pop())


def run_job(tree: DictConfig) -> bool:
    """Carry out the job that Hydra is running; True if it completed.

    A job of a multirun, for which nothing waits, is prepared in a directory that is claimed first:
    whatever is wrong with it is recorded there.
    """
    hydra = HydraConfig.get()
    if hydra.runtime.output_dir in _waiting:
        return carry_out(*_waiting.pop(hydra.runtime.output_dir))
    record = RunRecord.claim(Path(hydra.runtime.output_dir), tree.get("seed"), written(hydra))
    try:
        prepared = prepare(tree)
    except (ConfigError, OmegaConfBaseException) as error:
        record.finish("FAILED", cause=told(error))
        print(f"error: {told(error)}", file=sys.stderr)
        return False
    return carry_out(prepared, record)
