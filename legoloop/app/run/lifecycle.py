"""One run: prepared before anything is created, then carried out in its own directory."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.config.settings import labels
from legoloop.app.hydra_bridge.tree_as_yaml import tree_as_yaml
from legoloop.app.run.built_with import BuiltWith
from legoloop.app.run.data_digests import data_digests, data_sources
from legoloop.app.run.deferred_log import DeferredLog
from legoloop.app.run.distributed_run import DistributedRun
from legoloop.app.run.final_scalars import final_scalars
from legoloop.app.run.nodes import check_is_given
from legoloop.app.run.nodes_run import NodesRun
from legoloop.app.run.rank_training import check_device
from legoloop.app.run.ranked_run import RankedRun
from legoloop.app.run.resume import (
    archive_attempt,
    check_unchanged,
    load_checkpoint_into,
    newest_of,
    parse_resume,
    remove_temporaries_of,
    run_of,
)
from legoloop.app.run.signals import interruptions, raise_at_once
from legoloop.app.run.torchrun import JoinedRun
from legoloop.app.startup.torchrun_environment import has_started, local_ranks
from legoloop.app.wiring.make_app import validated_app
from legoloop.core.atomic_files import atomic_write, written_together
from legoloop.core.errors import ConfigError, DataError, UserError
from legoloop.core.record_files import parse_yaml
from legoloop.core.run_directory import CONFIG, PLAN
from legoloop.loop.host import TrainingHost
from legoloop.loop.lockstep import Lockstep
from legoloop.loop.rank_support import reject_without_ranks
from legoloop.loop.step import Step
from legoloop.state.checkpointer import Checkpointer
from legoloop.state.run_record import RunRecord

log = logging.getLogger("legoloop")


@dataclass
class Prepared:
    """A run that is about to begin: its app is built, nothing is on the disk yet.

    Args:
        blueprint: of what feeds the app; with a container of the user's own, its values too.
        composed: as Hydra composed it.
        app: the container.
        host: the training; None if it could not be built.
        problem: what went wrong with the data, if anything did: such a run is recorded as failed.
        checkpoint: the one whose state the host has; None: it begins at its first step.
        log: what was logged while it was loaded.
        ranked: the training by several ranks, once it begins; the host is gone then.
    """

    blueprint: Blueprint
    composed: Blueprint
    app: Any
    host: TrainingHost | None = None
    problem: Exception | None = None
    checkpoint: Path | None = None
    log: DeferredLog = field(default_factory=DeferredLog)
    ranked: DistributedRun | None = None

    @property
    def directory(self) -> Path:
        """The run directory."""
        return Path(self.blueprint.settings.run_dir)

    @cached_property
    def data(self) -> dict[str, str | None]:
        """The digest of each data set by name; none if they could not be built."""
        return data_digests(self.app) if self.host is not None else {}

    @property
    def training(self) -> TrainingHost | DistributedRun:
        """What trains: the host, or ranks that have one each.

        Raises what went wrong, if it could not be built.
        """
        if self.problem is not None:
            raise self.problem
        training = self.ranked or self.host
        assert training is not None
        return training

    def scalars(self) -> Mapping[str, Any]:
        """The scalars for the record."""
        return final_scalars(self.host) if self.ranked is None else self.ranked.scalars

    def leave_to_ranks(self) -> None:
        """Several ranks train, if so many are asked for; what was built here is freed."""
        settings = self.blueprint.settings
        if settings.ranks > 1 and self.host is not None:
            strict = settings.on_config_change != "accept"
            by_us = RankedRun if settings.nodes == 1 else NodesRun
            kind = JoinedRun if has_started() else by_us
            self.ranked = kind(self.blueprint, self.checkpoint, strict)
            self.app = self.host = None


def prepare(
    blueprint: Blueprint, share: Callable[[Any, Blueprint], None] | None = None
) -> Prepared:
    """Build the whole app of a blueprint; write nothing.

    Args:
        blueprint: of the run.
        share: is given the app, and may give it what another one has built.

    Raises ConfigError for a mistake in the configuration; what is wrong with the data, or with
    the code of a component, is kept for the run to fail with.
    """
    ranks, nodes = blueprint.settings.ranks, blueprint.settings.nodes
    if not has_started():
        check_is_given(nodes)
    app, fed = validated_app(blueprint)
    prepared = Prepared(fed, blueprint, app)
    if ranks > 1:
        check_device(blueprint.settings.device, local_ranks(ranks, nodes))
        app.config.device.from_value("cpu")  # the ranks have the GPUs
    try:
        if share is not None:
            share(app, blueprint)
        prepared.host = app.host()
        if ranks > 1:
            parallel = app.parallel() if "parallel" in app.providers else None
            reject_without_ranks(prepared.host.plan, ranks, parallel)
        if any(isinstance(each, Checkpointer) for each in prepared.host.plan.plugins.values()):
            prepared.host.reject_lost_weights()
    except ConfigError:
        raise
    except Exception as problem:
        prepared.problem = problem
    return prepared


def lock_directory(prepared: Prepared) -> RunRecord:
    """Make the run directory this run's own, and load the checkpoint that it resumes from.

    Raises ConfigError if it is in use, cannot be made, or holds a run that is not to be resumed;
    and if what is to be resumed has completed, or was made from another configuration. Raises
    DataError for a checkpoint that this run cannot go on from. What is there stays as it is.
    """
    settings = prepared.blueprint.settings
    resume, checkpoint = parse_resume(settings.resume)
    if checkpoint is not None:
        _check_unchanged(prepared, run_of(checkpoint))
        _load(prepared, checkpoint)
    record = RunRecord.start(
        prepared.directory,
        settings.seed,
        prepared.blueprint.overrides,
        resume,
        labels(settings),
    )
    try:
        if record.previous is not None:
            _check_unchanged(prepared, prepared.directory)
            if checkpoint is None:
                _load_newest(prepared)
    except BaseException:
        record.release()
        raise
    return record


def record_failure(directory: Path, seed: int | None, overrides: Sequence[str], cause: str) -> None:
    """Record a run that could not be prepared."""
    record = RunRecord.start(directory, seed, overrides, resume="auto")
    if record.previous is not None:
        record.begin_attempt(is_built=False)
    record.finish("FAILED", cause=cause)


def execute(prepared: Prepared, record: RunRecord) -> bool:
    """Run, and write down how it ended; True if it completed, or was pruned.

    A user's mistake is printed in one line, its traceback goes to the run's log alone; anything
    else is a bug and is raised on.
    """
    try:
        with recording(prepared, record):
            prepared.training.run()
    except UserError as error:
        return _tell_mistake(error)
    return _tell_end(prepared)


def executed_with_others(
    prepared: Prepared, record: RunRecord, lockstep: Lockstep | None
) -> Generator[Step, None, bool]:
    """As ``execute``, halted in each step for the runs that are trained in lockstep with it.

    Args:
        prepared: of one rank.
        record: of the run.
        lockstep: of the runs; None: it is trained alone, and halts nowhere.

    Whoever steps it handles signals, and interrupts the host.
    """
    try:
        with recording(prepared, record, hears_signals=False):
            training = prepared.training
            assert isinstance(training, TrainingHost)
            yield from training.stepped(lockstep)
    except UserError as error:
        return _tell_mistake(error)
    return _tell_end(prepared)


def _tell_mistake(error: UserError) -> bool:
    print(f"error: {error}", file=sys.stderr)
    return False


def _tell_end(prepared: Prepared) -> bool:
    training = prepared.training
    print(f"{training.ends_as.lower()}: {training.stop_reason}", flush=True)
    return True


@contextmanager
def recording(prepared: Prepared, record: RunRecord, hears_signals: bool = True) -> Iterator[None]:
    """What happens inside is the run: its files are written, and how it ended.

    An unfinished run is resumed from its newest checkpoint. A signal interrupts it, if it
    ``hears_signals``.
    """
    print(f"run directory: {display_path(prepared.directory)}", flush=True)
    try:
        _begin(prepared, record)
        prepared.leave_to_ranks()
        with _interruptions_of(prepared) if hears_signals else nullcontext():
            yield
    except KeyboardInterrupt as interruption:
        with _tolerate_disk_errors():
            record.finish("INTERRUPTED", **prepared.scalars())
        log.info("the run was interrupted: %r", interruption)
        print("interrupted", file=sys.stderr)
        raise
    except BaseException as error:
        cause = str(error) if isinstance(error, UserError) else repr(error)
        with _tolerate_disk_errors():
            record.finish("FAILED", cause=cause, **prepared.scalars())
        log.info("the run failed", exc_info=True)
        raise
    training = prepared.training
    reason, failed = training.stop_reason, training.failed_lookers
    without = {"failed_plugins": failed} if failed else {}
    record.finish(training.ends_as, stop_reason=reason, **without, **prepared.scalars())
    is_pruned = training.ends_as == "PRUNED"
    log.info("the run %s: %s", "was pruned" if is_pruned else "completed", reason)


def _interruptions_of(prepared: Prepared) -> AbstractContextManager[None]:
    return interruptions(raise_at_once if prepared.problem else prepared.training.interrupt)


@contextmanager
def _tolerate_disk_errors() -> Iterator[None]:
    """A record that cannot be written does not hide what ended the run."""
    try:
        yield
    except DataError as error:
        log.warning("%s", error)


@contextmanager
def logged(file: Path) -> Iterator[None]:
    """Log what legoloop logs inside, as Hydra's job logging does in a command.

    All of it goes to a file, and warnings to the terminal, unless the process has handlers of its
    own for those.
    """
    written = logging.FileHandler(file)
    written.setFormatter(logging.Formatter("[%(asctime)s][%(name)s][%(levelname)s] %(message)s"))
    handlers: list[logging.Handler] = [written]
    if not log.hasHandlers():
        shown = logging.StreamHandler()
        shown.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        shown.setLevel(logging.WARNING)
        handlers.append(shown)
    level = log.level
    log.setLevel(logging.INFO)
    for handler in handlers:
        log.addHandler(handler)
    try:
        yield
    finally:
        log.setLevel(level)
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()


def display_path(directory: Path) -> Path:
    """A path as it is shown: relative to the working directory, if it lies in that."""
    try:
        return directory.relative_to(Path.cwd())
    except ValueError:
        return directory


def _begin(prepared: Prepared, record: RunRecord) -> None:
    """Resume what there is, or begin anew, and write down what is run.

    A run that could not be built leaves an earlier attempt as it is: there is nothing to begin.
    """
    is_built = prepared.host is not None
    remove_temporaries_of(prepared.directory)
    if record.previous is not None:
        record.begin_attempt(is_built)
    if prepared.host is not None:
        _resume(prepared, record)
    with written_together():
        if is_built or record.previous is None:
            config = _write_config(prepared)
            record.update(blueprint=prepared.composed.to_dict(), config_sha256=config)
        if prepared.host is not None:
            _write_plan(prepared, prepared.host)
            sources = data_sources(prepared.app)
            record.record_data(prepared.data, sources)
            built_with = BuiltWith.of(prepared.app, prepared.blueprint)
            record.update(built_with=built_with.written())
            settings = prepared.blueprint.settings
            if settings.ranks > 1:
                record.record_ranks(settings.ranks, settings.nodes)
            for name, source in sources.items():
                log.info("the data set '%s' comes from %s", name, source)
    _print_differences(prepared)
    overrides = list(prepared.blueprint.overrides)
    log.info("the run begins, with the overrides %s", overrides)


def _load_newest(prepared: Prepared) -> None:
    """Load the newest checkpoint of an earlier attempt at this run, if it left one."""
    if prepared.host is not None:
        with prepared.log.keeping():
            checkpoint = newest_of(prepared.host, prepared.directory)
        if checkpoint is not None:
            _load(prepared, checkpoint)


def _load(prepared: Prepared, checkpoint: Path) -> None:
    if prepared.host is not None:
        with prepared.log.keeping():
            accepted = prepared.blueprint if _accepts_changes(prepared) else None
            load_checkpoint_into(prepared.host, checkpoint, accepted)
        prepared.checkpoint = checkpoint


def _resume(prepared: Prepared, record: RunRecord) -> None:
    """Tell which checkpoint the run goes on from; without one, begin anew beside what was left."""
    prepared.log.write()
    if prepared.checkpoint is not None:
        record.resumed_from(prepared.checkpoint)
        print(f"resumed from: {display_path(prepared.checkpoint)}", flush=True)
    elif record.previous is not None:
        archive_attempt(prepared.directory)


def _check_unchanged(prepared: Prepared, directory: Path) -> None:
    if not _accepts_changes(prepared):
        check_unchanged(prepared.blueprint, prepared.data, directory)


def _accepts_changes(prepared: Prepared) -> bool:
    return prepared.blueprint.settings.on_config_change == "accept"


def _write_config(prepared: Prepared) -> str | None:
    """Write ``config.yaml``; its SHA-256, if it reads back as the blueprint that is recorded."""
    with atomic_write(prepared.directory / CONFIG) as draft:
        content = tree_as_yaml(prepared.blueprint.tree).encode()
        draft.write_bytes(content)
    # By repr, since 1 == True == 1.0. A container's own values differ, and YAML loses a few texts.
    is_alike = repr(parse_yaml(content)) == repr(prepared.composed.tree)
    return sha256(content).hexdigest() if is_alike else None


def _print_differences(prepared: Prepared) -> None:
    if prepared.blueprint.settings.rerun is not None:
        from legoloop.app.run.config_differences import differences

        for line in differences(prepared.blueprint):
            print(line, flush=True)
            log.info(line)


def _write_plan(prepared: Prepared, host: TrainingHost) -> None:
    with atomic_write(prepared.directory / PLAN) as draft:
        draft.write_text(host.plan.table() + "\n")
