"""One run: prepared before anything is created, then carried out in its own directory."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from legoloop.app.hydra_jobs import written
from legoloop.app.making import checked_app
from legoloop.app.origin import set_keys
from legoloop.app.trees import plain
from legoloop.core.direction import is_best
from legoloop.core.errors import ConfigError, UserError
from legoloop.core.host import TrainingHost
from legoloop.core.whole_files import whole_file
from legoloop.state.run_record import RunRecord

log = logging.getLogger("legoloop")


@dataclass
class Prepared:
    """A run that is about to begin: its app is built, nothing is on the disk yet.

    ``problem`` is what went wrong with the data, if anything did: such a run is recorded as failed.
    """

    tree: DictConfig
    overrides: Sequence[str]
    app: Any
    host: TrainingHost | None = None
    problem: Exception | None = None

    @property
    def directory(self) -> Path:
        """The run directory."""
        return Path(self.tree.run_dir)


def prepare(tree: DictConfig) -> Prepared:
    """Check the configuration of the job at hand and build the whole app; write nothing.

    Raises ConfigError for a mistake in the configuration; what is wrong with the data, or with
    the code of a brick, is kept for the run to fail with.
    """
    hydra = HydraConfig.get()
    app, tree = checked_app(tree, list(set_keys(hydra)))
    prepared = Prepared(tree, written(hydra), app)
    try:
        prepared.host = prepared.app.host()
    except ConfigError:
        raise
    except Exception as problem:
        prepared.problem = problem
    return prepared


def claim(prepared: Prepared) -> RunRecord:
    """Make the run directory this run's own.

    Raises ConfigError if it holds a run already, or cannot be made.
    """
    return RunRecord.claim(prepared.directory, int(prepared.tree.seed), prepared.overrides)


def carry_out(prepared: Prepared, record: RunRecord) -> bool:
    """Run, and write down how it ended; True if it completed.

    A user's mistake is told in one message, its traceback goes to the run's log alone; anything
    else is a bug and is raised on.
    """
    print(f"run directory: {shown(prepared.directory)}", flush=True)
    try:
        _write_config(prepared)
        host = _host(prepared)
        _write_plan(prepared, host)
        log.info("the run begins, with the overrides %s", list(prepared.overrides))
        host.run()
    except KeyboardInterrupt:
        record.finish("INTERRUPTED", **_scalars(prepared))
        print("interrupted", file=sys.stderr)
        raise
    except BaseException as error:
        is_users = isinstance(error, UserError)
        cause = str(error) if is_users else repr(error)
        record.finish("FAILED", cause=cause, **_scalars(prepared))
        log.info("the run failed", exc_info=True)
        if not is_users:
            raise
        print(f"error: {error}", file=sys.stderr)
        return False
    record.finish("COMPLETED", stop_reason=host.stop_reason, **_scalars(prepared))
    log.info("the run completed: %s", host.stop_reason)
    print(f"completed: {host.stop_reason}", flush=True)
    return True


def shown(directory: Path) -> Path:
    """Relative to here where that is shorter."""
    try:
        return directory.relative_to(Path.cwd())
    except ValueError:
        return directory


def _host(prepared: Prepared) -> TrainingHost:
    if prepared.problem is not None:
        raise prepared.problem
    assert prepared.host is not None
    return prepared.host


def _write_config(prepared: Prepared) -> None:
    with whole_file(prepared.directory / "config.yaml") as draft:
        OmegaConf.save(OmegaConf.create(plain(prepared.tree)), draft)


def _write_plan(prepared: Prepared, host: TrainingHost) -> None:
    with whole_file(prepared.directory / "plan.txt") as draft:
        draft.write_text(host.plan.table() + "\n")


def _scalars(prepared: Prepared) -> Mapping[str, Any]:
    """The last value of each scalar that the app's history kept, and the best of each metric."""
    if prepared.host is None or not hasattr(prepared.app, "history"):
        return {}
    final: dict[str, float | None] = {}
    best: dict[str, dict[str, float]] = {}
    for step, scalars in prepared.app.history().rows.items():
        for tag, value in scalars.items():
            final[tag] = value if isfinite(value) else None
            if is_best(tag, value, best.get(tag, {}).get("value")):
                best[tag] = {"value": value, "step": step}
    return {"final": final, "best": best}
