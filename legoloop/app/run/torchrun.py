"""Ranks that are there already: ``torchrun … -m legoloop.run``.

torchrun starts the command on every rank. Rank 0 goes the way of a run of one process: it composes,
checks, locks and records. The others wait for its blueprint, and compose nothing. What the
environment tells of it is in ``app/startup/torchrun_environment.py``.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from legoloop.app.run.distributed_run import DistributedRun
from legoloop.app.run.rank_files import Outcome, RankTask
from legoloop.app.startup.torchrun_environment import is_first

TASK = "legoloop/task"
PATIENCE = timedelta(hours=1)
"""How long a rank waits for rank 0 to compose, check and build."""


class JoinedRun(DistributedRun):
    """The training of a run by the ranks that torchrun has started, of which this is the first."""

    def interrupt(self, interruption: BaseException) -> None:
        """Before the training begins, at once; then the ranks agree on it."""
        raise interruption

    def run(self) -> None:
        """Send the other ranks what to train, and train with them."""
        task = self._task()
        store = _store()
        store.set(TASK, json.dumps(asdict(task)))
        self._outcome = _train(task, store)


def join_training() -> None:
    """As a rank other than the first: train what rank 0 sends, if it sends anything."""
    store = _store()
    task = json.loads(store.get(TASK))
    if task is not None:
        _train(RankTask(**task), store)


def release_ranks() -> None:
    """As rank 0, at its end: if it had nothing to train, the others need not wait."""
    store = _store()
    if not store.check([TASK]):
        store.set(TASK, json.dumps(None))


def _train(task: RankTask, store: Any) -> Outcome:
    from legoloop.app.run.rank_training import train_task

    with tempfile.TemporaryDirectory(prefix="legoloop-rank-") as scratch:
        return train_task(task, None if is_first() else Path(scratch), store)


def _store() -> Any:
    """What the ranks of torchrun share before they are a group."""
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(iter(rendezvous("env://")))
    store.set_timeout(PATIENCE)
    return store
