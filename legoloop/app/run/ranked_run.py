"""A run whose training is done by several ranks: the process that starts them and records it."""

from __future__ import annotations

from pathlib import Path

from legoloop.app.run.distributed_run import DistributedRun
from legoloop.app.run.local_ranks import LocalRanks, Report
from legoloop.app.run.rank_files import RankTask
from legoloop.core.interruption import Interrupted
from legoloop.core.run_directory import LOG


class RankedRun(DistributedRun):
    """The training of a run by ranks that it starts as processes.

    Each builds the app of the blueprint; rank 0 writes to the run directory.
    """

    _ranks: LocalRanks | None = None

    def interrupt(self, interruption: BaseException) -> None:
        """Hand a signal on to the ranks: they end at the same step, and save."""
        if self._ranks is None or not isinstance(interruption, Interrupted):
            raise interruption
        self._ranks.interrupt(interruption.number)

    def run(self) -> None:
        """Train; return when all ranks are done.

        Raises Interrupted if they were interrupted, and DataError with the message of the first
        that failed.
        """
        run_log = Path(self._blueprint.settings.run_dir) / LOG
        task = self._task(run_log if run_log.exists() else None)
        with self._local_ranks() as self._ranks:
            try:
                report = self._train(self._ranks, task)
            finally:
                self._outcome = self._ranks.outcome() or self._outcome
                self._ranks = None
        if report:
            raise report.cause()

    def _local_ranks(self) -> LocalRanks:
        return LocalRanks()

    def _train(self, ranks: LocalRanks, task: RankTask) -> Report:
        return ranks.train(task)
