"""One run: prepared before anything is created, then carried out in its own directory."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from legoloop.app.hydra_bridge.job_config import written
from legoloop.app.hydra_bridge.key_origin import set_keys
from legoloop.app.run.data_digests import data_digests
from legoloop.app.run.resume import (
    archive_attempt,
    load_checkpoint_into,
    newest_of,
    parse_resume,
    refuse_changed,
    remove_temporaries_of,
    run_of,
)
from legoloop.app.run.signals import give_way, interruptions
from legoloop.app.wiring.make_app import validated_app
from legoloop.core.atomic_files import atomic_write
from legoloop.core.errors import ConfigError, DataError, UserError
from legoloop.core.metric_direction import is_best
from legoloop.loop.host import TrainingHost
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
    app, tree = validated_app(tree, list(set_keys(hydra)))
    prepared = Prepared(tree, written(hydra), app)
    try:
        prepared.host = app.host()
    except ConfigError:
        raise
    except Exception as problem:
        prepared.problem = problem
    return prepared


def claim(prepared: Prepared) -> RunRecord:
    """Make the run directory this run's own.

    Raises ConfigError if it is in use, cannot be made, or holds a run that is not to be resumed;
    and if what is gone on with has completed, or was made otherwise.
    """
    tree = prepared.tree
    resume, checkpoint = parse_resume(tree.get("resume", "auto"))
    if checkpoint is not None:
        _refuse_changed(prepared, run_of(checkpoint))
    seed = int(tree.seed)
    record = RunRecord.start(prepared.directory, seed, prepared.overrides, resume)
    try:
        if record.previous is not None:
            _refuse_changed(prepared, prepared.directory)
    except ConfigError:
        record.release()
        raise
    return record


def fail(directory: Path, seed: int | None, overrides: Sequence[str], cause: str) -> None:
    """Record a run that could not be prepared."""
    record = RunRecord.start(directory, seed, overrides, resume="auto")
    if record.previous is not None:
        record.begin_attempt()
    record.finish("FAILED", cause=cause)


def execute(prepared: Prepared, record: RunRecord) -> bool:
    """Run, and write down how it ended; True if it completed.

    A user's mistake is told in one message, its traceback goes to the run's log alone; anything
    else is a bug and is raised on.
    """
    try:
        with recorded(prepared, record):
            host = _host(prepared)
            host.run()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return False
    print(f"completed: {host.stop_reason}", flush=True)
    return True


@contextmanager
def recorded(prepared: Prepared, record: RunRecord) -> Iterator[None]:
    """What happens inside is the run: its files are written, and how it ended.

    An unfinished run is taken up from its newest checkpoint. A signal interrupts it.
    """
    print(f"run directory: {shown(prepared.directory)}", flush=True)
    try:
        _begin(prepared, record)
        with interruptions(prepared.host.interrupt if prepared.host else give_way):
            yield
    except KeyboardInterrupt as interruption:
        with _all_the_same():
            record.finish("INTERRUPTED", **_scalars(prepared))
        log.info("the run was interrupted: %r", interruption)
        print("interrupted", file=sys.stderr)
        raise
    except BaseException as error:
        cause = str(error) if isinstance(error, UserError) else repr(error)
        with _all_the_same():
            record.finish("FAILED", cause=cause, **_scalars(prepared))
        log.info("the run failed", exc_info=True)
        raise
    reason = _host(prepared).stop_reason
    record.finish("COMPLETED", stop_reason=reason, **_scalars(prepared))
    log.info("the run completed: %s", reason)


@contextmanager
def _all_the_same() -> Iterator[None]:
    """Where the disk takes no record of the end, what ended the run is told none the less."""
    try:
        yield
    except DataError as error:
        log.warning("%s", error)


@contextmanager
def logged(file: Path) -> Iterator[None]:
    """What legoloop logs inside goes to a file, as Hydra's job logging has it in a command."""
    handler = logging.FileHandler(file)
    handler.setFormatter(logging.Formatter("[%(asctime)s][%(name)s][%(levelname)s] %(message)s"))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        handler.close()


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


def _begin(prepared: Prepared, record: RunRecord) -> None:
    remove_temporaries_of(prepared.directory)
    if record.previous is not None:
        record.begin_attempt()
    checkpoint = _checkpoint(prepared, record)
    if record.previous is not None and checkpoint is None:
        archive_attempt(prepared.directory)
    if checkpoint is not None and prepared.host is not None:
        record.resumed_from(checkpoint)
        load_checkpoint_into(prepared.host, checkpoint, strict=not _accepts_changes(prepared))
        print(f"resumed from: {shown(checkpoint)}", flush=True)
    _write_config(prepared)
    if prepared.host is not None:
        _write_plan(prepared, prepared.host)
        record.update(data=data_digests(prepared.app))
    _tell_differences(prepared)
    log.info("the run begins, with the overrides %s", list(prepared.overrides))


def _checkpoint(prepared: Prepared, record: RunRecord) -> Path | None:
    """Where to go on from; None for a run that begins."""
    _, named = parse_resume(prepared.tree.get("resume", "auto"))
    if named is not None or record.previous is None or prepared.host is None:
        return named
    return newest_of(prepared.host)


def _refuse_changed(prepared: Prepared, directory: Path) -> None:
    if not _accepts_changes(prepared):
        refuse_changed(prepared.tree, directory)


def _accepts_changes(prepared: Prepared) -> bool:
    return bool(prepared.tree.get("on_config_change", "refuse") == "accept")


def _write_config(prepared: Prepared) -> None:
    with atomic_write(prepared.directory / "config.yaml") as draft:
        OmegaConf.save(prepared.tree, draft, resolve=True)


def _tell_differences(prepared: Prepared) -> None:
    if prepared.tree.get("rerun") is not None:
        from legoloop.app.run.config_differences import differences

        for line in differences(prepared.tree):
            print(line, flush=True)
            log.info(line)


def _write_plan(prepared: Prepared, host: TrainingHost) -> None:
    with atomic_write(prepared.directory / "plan.txt") as draft:
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
