"""What all launchers of ours do: give each job of a sweep to the process that carries it out."""

from __future__ import annotations

import logging
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import (
    JobReturn,
    JobStatus,
    configure_log,
    filter_overrides,
    run_job,
    setup_globals,
)
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from legoloop.app.hydra_bridge.broken_plugins import skip_broken_plugins
from legoloop.app.hydra_bridge.internals import failed_job
from legoloop.app.hydra_bridge.shipped_config import register_settings
from legoloop.core.output_streams import tolerant_output
from legoloop.core.run_directory import OUTPUT
from legoloop.state.run_record import mark_failed_if_abandoned

log = logging.getLogger("legoloop")

Overrides = Sequence[str]


class JobDied(Exception):
    """A job whose process died; it was recorded as failed, and its cause printed."""


@dataclass(frozen=True)
class SentJob:
    """One job of a sweep, as it is sent to another process and called there.

    ``directory``, an absolute path, becomes its run directory. ``output`` is the file that takes
    what its process prints; None: that is shown.
    """

    number: int
    overrides: list[str]
    directory: Path
    config: DictConfig
    hydra_context: HydraContext
    task: TaskFunction
    singletons: Any
    output: Path | None = None

    @tolerant_output()
    def __call__(self) -> JobReturn:
        """Carry it out: ``.hydra/``, logging, environment and callbacks are as with Hydra's own."""
        skip_broken_plugins()
        register_settings()
        setup_globals()
        Singleton.set_state(self.singletons)
        return run_job(
            hydra_context=self.hydra_context,
            task_function=self.task,
            config=self.config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )

    def died(self, cause: str) -> JobReturn:
        """Record and print that its process died before it could report how the job ended."""
        mark_failed_if_abandoned(self.directory, cause, self.overrides)
        if self.output is None:
            print(f"[{self.number}] error: {cause}", file=sys.stderr, flush=True)
        return failed_job(self.overrides, JobDied(cause))


class JobsLauncher(Launcher):
    """What the launchers have in common; how the jobs are carried out is left to each.

    ``is_on_cluster``: whether other machines may write to the sweep's folder. ``nodes``: how many
    machines each job has. ``left_behind``: the numbers of the jobs that go on though the launcher
    has returned.
    """

    is_on_cluster: ClassVar[bool] = False
    nodes: int = 1
    left_behind: frozenset[int] = frozenset()
    hydra_context: HydraContext
    task: TaskFunction
    config: DictConfig

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra knows of the sweep."""
        self.hydra_context, self.task, self.config = hydra_context, task_function, config

    def launch(
        self, job_overrides: Sequence[Overrides], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Carry out the jobs: how each of those that began ended, in their order."""
        return self.launch_jobs(list(enumerate(job_overrides, initial_job_idx)))

    def describe_jobs(self, jobs: Sequence[int]) -> Sequence[str]:
        """Lines to print before the jobs of these numbers are carried out."""
        return ()

    def launch_jobs(self, jobs: Sequence[tuple[int, Overrides]]) -> Sequence[JobReturn]:
        """Carry out jobs that are given with their numbers."""
        return self.execute(self._sent(jobs))

    def _sent(self, jobs: Iterable[tuple[int, Overrides]]) -> Iterator[SentJob]:
        """The jobs, each composed when it is asked for."""
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        Path(self.config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        return (self._job(number, overrides) for number, overrides in jobs)

    @property
    def runs_are_ours(self) -> bool:
        """Whether the jobs are runs of legoloop, not of another Hydra app."""
        from legoloop.app.sweep.job import JobTask  # imports torch

        return isinstance(self.task, JobTask)

    @property
    def stops_on_failure(self) -> bool:
        """Whether no further job is to begin once one has failed."""
        return bool(OmegaConf.select(self.config, "sweep.on_failure") == "stop")

    @abstractmethod
    def execute(self, jobs: Iterator[SentJob]) -> list[JobReturn]:
        """How each of the jobs ended, in their order; each is composed when it is asked for."""

    def _job(self, number: int, overrides: Overrides) -> SentJob:
        log.info("\t#%s : %s", number, " ".join(filter_overrides(overrides)))
        loader = self.hydra_context.config_loader
        config = loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        HydraConfig.instance().set_config(config)  # the directory may be made from ${hydra:job.num}
        sweep = config.hydra.sweep
        task: Any = self.task
        directory = Path(sweep.dir, str(sweep.subdir)).absolute()
        is_shown = not self.runs_are_ours or OmegaConf.select(self.config, "sweep.output") == "all"
        return SentJob(
            number=number,
            overrides=list(filter_overrides(overrides)),
            directory=directory,
            config=config,
            hydra_context=self.hydra_context,
            task=task.of_job(number) if self.runs_are_ours else task,
            singletons=Singleton.get_state(),
            output=None if is_shown else directory / OUTPUT,
        )


class OneByOneLauncher(JobsLauncher):
    """A launcher that asks for the next job when there is a place for it."""

    def launch_as_asked(
        self, jobs: Iterator[tuple[int, Overrides]], ended: Callable[[int], None]
    ) -> list[JobReturn]:
        """Carry out jobs; ``ended`` is called with the number of each that has ended."""
        return self.execute(self._sent(jobs), ended)

    @abstractmethod
    def execute(
        self, jobs: Iterator[SentJob], ended: Callable[[int], None] = lambda number: None
    ) -> list[JobReturn]:
        """How each of the jobs that began ended, in their order; ``ended`` is called for each."""


def has_failed(returned: Iterable[JobReturn]) -> bool:
    """Whether one of the jobs that ended has failed."""
    return any(job.status is JobStatus.FAILED for job in returned)
