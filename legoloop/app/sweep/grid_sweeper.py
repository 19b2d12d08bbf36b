"""The sweeper of a multirun: which jobs there are, and which are still to be run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext

from legoloop.core.errors import ConfigError
from legoloop.core.text import shown

if TYPE_CHECKING:
    from hydra.plugins.launcher import Launcher
    from hydra.types import TaskFunction
    from omegaconf import DictConfig

    from legoloop.app.sweep.job import Job


MOST_JOBS = 100_000
"""Composing so many takes an hour."""


class GridSweeper(Sweeper):
    """Every combination of the values that are given, as Hydra's own sweeper takes them.

    All jobs are checked before anything is created. In a folder that holds this sweep already,
    those that have completed are left out. ``max_batch_size`` jobs are given to the launcher at
    once, all of them if None; ``params`` are overrides besides those of the command line.
    """

    def __init__(
        self, max_batch_size: int | None = None, params: Mapping[str, str] | None = None
    ) -> None:
        self.max_batch_size = max_batch_size
        self.params = params or {}

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra gives, and make the launcher.

        Raises ConfigError for invalid settings of the sweeper or the launcher.
        """
        from hydra.core.plugins import Plugins

        from legoloop.app.hydra_bridge.caching_loader import CachingConfigLoader
        from legoloop.app.hydra_bridge.launcher_check import check_launcher

        self._check()
        check_launcher(config)
        self.config: DictConfig = config
        self.loader = CachingConfigLoader(hydra_context.config_loader)
        self.task = task_function
        self.context = HydraContext(self.loader, hydra_context.callbacks)
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self.context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Check all jobs, lock the folder, launch the pending jobs, summarize.

        Raises ConfigError for a mistake in any job, SystemExit if not all jobs have completed.
        """
        from legoloop.app.sweep.compose_jobs import compose_jobs
        from legoloop.app.sweep.job import JobTask
        from legoloop.app.sweep.launchers.jobs import JobsLauncher
        from legoloop.app.sweep.sweep import Sweep
        from legoloop.state.lease import leased
        from legoloop.state.run_record import one_git_state

        overrides = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        jobs = compose_jobs(self.config, self.combinations(overrides), self.loader)
        task = JobTask(self.task, {job.number: job.blueprint for job in jobs})
        self.launcher.setup(hydra_context=self.context, task_function=task, config=self.config)
        is_on_cluster = isinstance(self.launcher, JobsLauncher) and self.launcher.is_on_cluster
        claims = leased() if is_on_cluster else nullcontext()
        with claims, one_git_state(), Sweep.open(self.config, jobs) as sweep:
            left = sweep.pending()
            with sweep.shown(left):
                for batch in self._batches(left, sweep.stops_at_failure):
                    sweep.launch(self.launcher, batch)
                    if sweep.stops_at_failure and not all(job.has_completed for job in batch):
                        break
        if not all(job.has_completed or job.number in sweep.left_behind for job in jobs):
            raise SystemExit(1)

    def combinations(self, overrides: Sequence[str]) -> list[list[str]]:
        """The overrides of each job; raises ConfigError if there is none, or far too many."""
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from hydra.errors import HydraException

        from legoloop.app.hydra_bridge.internals import grid
        from legoloop.app.hydra_bridge.messages import as_config_error

        try:
            parser = OverridesParser.create(config_loader=self.loader)
            parsed = parser.parse_overrides(list(overrides))
            found = grid(parsed, most=MOST_JOBS)
        except (HydraException, ValueError) as error:
            raise as_config_error(error, overrides=overrides) from None
        if not found:
            raise ConfigError(f"{' '.join(overrides)}: makes no job; one of them has no values")
        return found

    def _check(self) -> None:
        size = self.max_batch_size
        if size is not None and (not isinstance(size, int) or size < 1):
            raise ConfigError(
                f"is {shown(size)}",
                key="hydra.sweeper.max_batch_size",
                remedy="give a whole number of at least 1, or null",
            )

    def _batches(self, jobs: Sequence[Job], stops_at_failure: bool) -> Iterator[Sequence[Job]]:
        from legoloop.app.sweep.launchers.jobs import JobsLauncher

        # Others would begin all that they are given, whatever became of the first.
        one_by_one = stops_at_failure and not isinstance(self.launcher, JobsLauncher)
        size = 1 if one_by_one else self.max_batch_size or max(1, len(jobs))
        for first in range(0, len(jobs), size):
            yield jobs[first : first + size]
