"""Ranks that are there already: ``torchrun … -m legoloop.run``.

torchrun starts the command on every rank. Rank 0 goes the way of a run of one process: it composes,
checks, locks and records. The others wait for its blueprint, and compose nothing. What the
environment tells of it is in ``app/startup/torchrun_environment.py``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.run.rank_files import Outcome, RankTask
from legoloop.loop.plugin import Ending

TASK = "legoloop/task"
PATIENCE = timedelta(hours=1)
"""How long a rank waits for rank 0 to compose, check and build."""


class JoinedRun:
    """The training of a run by the ranks that torchrun has started; takes the place of a host.

    Args:
        blueprint: of the run.
        checkpoint: the one to go on from; None: from the beginning.
        strict: whether the checkpoint must be of a run like this one.
    """

    def __init__(self, blueprint: Blueprint, checkpoint: Path | None, strict: bool) -> None:
        self._blueprint = blueprint
        self._checkpoint = checkpoint
        self._strict = strict
        self._outcome = Outcome(None)

    @property
    def stop_reason(self) -> str | None:
        """Why the training stopped."""
        return self._outcome.stop_reason

    @property
    def ends_as(self) -> Ending:
        """How it ended: completed, or pruned."""
        return self._outcome.ends_as

    @property
    def failed_lookers(self) -> Mapping[str, str]:
        """The plugins that only look and have failed, and why."""
        return self._outcome.failed_lookers

    @property
    def scalars(self) -> Mapping[str, Any]:
        """The last value of each scalar, and the best of each metric, as a record has them."""
        return self._outcome.scalars

    def interrupt(self, interruption: BaseException) -> None:
        """Before the training begins, at once; then the ranks agree on it."""
        raise interruption

    def run(self) -> None:
        """Tell the other ranks what to train, and train with them."""
        checkpoint = None if self._checkpoint is None else str(self._checkpoint)
        task = RankTask(self._blueprint.to_dict(), checkpoint, self._strict, list(sys.path))
        store = _store()
        store.set(TASK, json.dumps(asdict(task)))
        self._outcome = _train(task, store)


def train_as_told() -> None:
    """As a rank other than the first: train what rank 0 says, if it says anything."""
    store = _store()
    told = json.loads(store.get(TASK))
    if told is not None:
        _train(RankTask(**told), store)


def let_go() -> None:
    """As rank 0, at its end: if it had nothing to train, the others need not wait."""
    store = _store()
    if not store.check([TASK]):
        store.set(TASK, json.dumps(None))


def _train(task: RankTask, store: Any) -> Outcome:
    sys.path[:] = list(dict.fromkeys([*task.import_path, *sys.path]))
    from legoloop.app.run.rank_training import join, train_as_rank

    blueprint = Blueprint.from_dict(task.blueprint)
    checkpoint = None if task.checkpoint is None else Path(task.checkpoint)
    with tempfile.TemporaryDirectory(prefix="legoloop-rank-") as scratch:
        group = join(blueprint.settings.device, store)
        own = None if group.is_writer else Path(scratch)
        host, scalars = train_as_rank(blueprint, group, own, checkpoint, task.strict)
    return Outcome(host.stop_reason, host.ends_as, host.failed_lookers, dict(scalars))


def _store() -> Any:
    """What the ranks of torchrun share before they are a group."""
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(iter(rendezvous("env://")))
    store.set_timeout(PATIENCE)
    return store
