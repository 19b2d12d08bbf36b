"""The sweeper of a multirun: which jobs there are, and which are still to be run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from legoloop.app.sweep.sweeper import JobsSweeper
from legoloop.core.errors import ConfigError
from legoloop.core.text import shown

if TYPE_CHECKING:
    from legoloop.app.sweep.job import Job


MOST_JOBS = 100_000
"""Composing so many takes an hour."""


class GridSweeper(JobsSweeper):
    """Every combination of the values that are given, as Hydra's own sweeper takes them.

    All jobs are checked before anything is created. In a folder that holds this sweep already,
    those that have completed are left out. ``max_batch_size`` jobs are given to the launcher at
    once, all of them if None; ``params`` are overrides besides those of the command line.
    """

    def __init__(
        self, max_batch_size: int | None = None, params: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(params)
        self.max_batch_size = max_batch_size

    def check(self) -> None:
        """Raises ConfigError for a number of jobs that is none."""
        size = self.max_batch_size
        if size is not None and (not isinstance(size, int) or size < 1):
            raise ConfigError(
                f"is {shown(size)}",
                key="hydra.sweeper.max_batch_size",
                remedy="give a whole number of at least 1, or null",
            )

    def sweep(self, arguments: list[str]) -> None:
        """Check all jobs, lock the folder, launch the pending jobs, summarize.

        Raises ConfigError for a mistake in any job, SystemExit if not all jobs have completed.
        """
        from legoloop.app.sweep.compose_jobs import compose_jobs
        from legoloop.app.sweep.job import JobTask
        from legoloop.app.sweep.sweep import Sweep
        from legoloop.state.run_record import one_git_state

        combinations = self.combinations(self.all_overrides(arguments))
        jobs = compose_jobs(self.config, combinations, self.loader)
        task = JobTask(self.task, {job.number: job.blueprint for job in jobs}, knows_all=True)
        self.give(task)
        with self.claims(), one_git_state(), Sweep.open(self.config, jobs) as sweep:
            left = sweep.pending()
            sweep.print_description(self.launcher, left)
            with sweep.shown(left):
                for batch in self._batches(left, sweep.stops_at_failure):
                    sweep.launch(self.launcher, batch)
                    if sweep.stops_at_failure and not all(job.has_completed for job in batch):
                        break
        if not all(job.has_completed or job.number in sweep.left_behind for job in jobs):
            raise SystemExit(1)

    def combinations(self, overrides: Sequence[str]) -> list[list[str]]:
        """The overrides of each job; raises ConfigError if there is none, or far too many."""
        from hydra.errors import HydraException

        from legoloop.app.hydra_bridge.internals import grid
        from legoloop.app.hydra_bridge.messages import as_config_error

        try:
            found = grid(self.parsed(overrides), most=MOST_JOBS)
        except (HydraException, ValueError) as error:
            raise as_config_error(error, overrides=overrides) from None
        if not found:
            raise ConfigError(f"{' '.join(overrides)}: makes no job; one of them has no values")
        return found

    def _batches(self, jobs: Sequence[Job], stops_at_failure: bool) -> Iterator[Sequence[Job]]:
        from legoloop.app.sweep.launchers.jobs import JobsLauncher

        # Others would begin all that they are given, whatever became of the first.
        one_by_one = stops_at_failure and not isinstance(self.launcher, JobsLauncher)
        size = 1 if one_by_one else self.max_batch_size or max(1, len(jobs))
        for first in range(0, len(jobs), size):
            yield jobs[first : first + size]
