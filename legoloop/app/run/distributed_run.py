"""What runs whose training several ranks do have in common, whoever starts the ranks."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.run.rank_files import Outcome, RankTask
from legoloop.loop.plugin import Ending


class DistributedRun(ABC):
    """The training of a run by several ranks; takes the place of a host.

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

    @abstractmethod
    def run(self) -> None:
        """Train; return when all ranks are done."""

    @abstractmethod
    def interrupt(self, interruption: BaseException) -> None:
        """End the training, for a signal handler."""

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

    def _task(self, log: Path | None = None) -> RankTask:
        """What the ranks train; ``log`` is the run's, if rank 0 is to write to it."""
        return RankTask(
            self._blueprint.to_dict(),
            None if self._checkpoint is None else str(self._checkpoint),
            self._strict,
            list(sys.path),
            self._blueprint.settings.ranks,
            None if log is None else str(log),
        )
