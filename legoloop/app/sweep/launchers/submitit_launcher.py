"""Jobs for Slurm, by submitit: ``hydra/launcher=slurm``; ``slurm_local`` tries it out here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any, ClassVar

from hydra.core.utils import JobReturn
from omegaconf import OmegaConf

from legoloop.app.sweep.launchers.jobs import JobsLauncher, Overrides, SentJob, has_failed
from legoloop.app.sweep.launchers.slurm_watch import SlurmWatch
from legoloop.app.sweep.launchers.submitit_job import Requeued, returned_by
from legoloop.app.sweep.launchers.submitted import forget, remember, submitted
from legoloop.core.errors import ArgumentError, ConfigError, MissingExtraError

COMMON = {
    "name",
    "timeout_min",
    "mem_gb",
    "nodes",
    "cpus_per_task",
    "gpus_per_node",
    "tasks_per_node",
    "stderr_to_stdout",
}
"""What submitit asks of any cluster; all else is the cluster's own, and named after it."""

SHIELD = ("env", "--ignore-signal=TERM,USR2")
"""A job that is preempted while it imports lives on until Slurm kills and requeues it.

Before its handlers are set, a signal would end it as failed, and Slurm requeues no such job.
"""

LOOK_EVERY = 0.5
"""Seconds between two looks for results, which are files."""


class SubmititLauncher(JobsLauncher):
    """Submits jobs; one that dies is one failed job.

    ``parameters`` are those of submitit's executor, without the name of the cluster.

    Raises MissingExtraError without submitit, ArgumentError for more than one task a machine, since
    each would run the whole job, and for more machines than the cluster has.
    """

    cluster: ClassVar[str]
    has_nodes: ClassVar[bool] = False
    option: ClassVar[str]

    def __init__(
        self,
        submitit_folder: str,
        max_num_timeout: int = 0,
        nodes: int = 1,
        tasks_per_node: int = 1,
        **parameters: Any,
    ) -> None:
        if find_spec("submitit") is None:
            raise MissingExtraError.of(f"hydra/launcher={self.option}", "submitit", "submitit")
        for name, value in (("nodes", nodes), ("tasks_per_node", tasks_per_node)):
            if value != 1 and not (name == "nodes" and self.has_nodes):
                raise ArgumentError(
                    f"is {value}, but each of the tasks would run the whole job",
                    argument=name,
                    remedy="give 1",
                )
        self.nodes = nodes
        self._folder = Path(submitit_folder)
        self._max_num_timeout = max_num_timeout
        self._parameters = {
            name if name in COMMON else f"{self.cluster}_{name}": _plain(value)
            for name, value in (*parameters.items(), ("nodes", nodes), ("tasks_per_node", 1))
            if value is not None
        }

    def submit(self, jobs: Sequence[SentJob]) -> list[Any]:
        """Submit jobs, as one array: submitit's handle of each."""
        import submitit

        if not jobs:
            return []
        executor = submitit.AutoExecutor(
            self._folder, cluster=self.cluster, slurm_max_num_timeout=self._max_num_timeout
        )
        executor.update_parameters(**self._parameters)
        return list(executor.map_array(Requeued(self.nodes), jobs))


class LocalLauncher(SubmititLauncher):
    """All jobs at once on this machine."""

    cluster, option = "local", "slurm_local"

    def execute(self, jobs: Iterator[SentJob]) -> list[JobReturn]:
        """How each of the jobs ended, in their order."""
        sent = list(jobs)
        handles = self.submit(sent)
        while not all(handle.done() for handle in handles):
            time.sleep(LOOK_EVERY)
        return [
            returned_by(job, handle) or job.died(f"died; see {handle.paths.stderr}")
            for job, handle in zip(sent, handles, strict=True)
        ]


class SlurmLauncher(SubmititLauncher):
    """The jobs of a Slurm array, submitted and looked after.

    What was submitted is written down in submitit's folder. A job that an earlier command submitted
    is looked after, and not submitted again until this was told how it ended.

    Args:
        wait: until all have ended; False: submit them, tell what has ended, and leave the others.
        array_parallelism: jobs at once.
        srun_args: further arguments for ``srun``.
        settings: those of submitit's executor, without ``slurm_``.

    Raises ConfigError on a machine that has not Slurm's commands.
    """

    cluster, option = "slurm", "slurm"
    is_on_cluster = has_nodes = True

    def __init__(
        self,
        wait: bool = True,
        array_parallelism: int = 256,
        srun_args: Sequence[str] | None = None,
        **settings: Any,
    ) -> None:
        if not isinstance(wait, bool):
            raise ArgumentError(f"is {wait!r}", argument="wait", remedy="give true or false")
        shielded = [*(srun_args or ()), *SHIELD]
        super().__init__(srun_args=shielded, array_parallelism=array_parallelism, **settings)
        self._waits = wait
        self._places = array_parallelism
        if which("srun") is None:
            raise ConfigError(
                "Slurm's command srun is not found; start the sweep on a node that has it, "
                "or try it out with hydra/launcher=slurm_local"
            )

    def execute(self, jobs: Iterator[SentJob]) -> list[JobReturn]:
        """How each of the jobs that have ended did so, in their order."""
        if not self._waits and self.stops_on_failure:
            raise self._would_not_see("a failure for sweep.on_failure=stop")
        watch = SlurmWatch()
        self._begin(watch, list(jobs))
        return self._look_after(watch, iter(()), lambda number: None)

    def launch_as_asked(
        self, jobs: Iterator[tuple[int, Overrides]], ended: Callable[[int], None]
    ) -> list[JobReturn]:
        """Carry out jobs, ``array_parallelism`` at once; ``ended`` is called for each."""
        if not self._waits:
            raise self._would_not_see("how jobs end for the sweeper")
        return self._look_after(SlurmWatch(), self._sent(jobs), ended)

    def _look_after(
        self, watch: SlurmWatch, jobs: Iterator[SentJob], ended: Callable[[int], None]
    ) -> list[JobReturn]:
        returned: dict[int, JobReturn] = {}
        try:
            while True:
                for number, how in watch.look().items():
                    returned[number] = how
                    ended(number)
                if self.stops_on_failure and has_failed(returned.values()):
                    watch.cancel_waiting()
                    jobs = iter(())
                while len(watch.handles) < self._places and (job := next(jobs, None)) is not None:
                    self._begin(watch, [job])
                if not (self._waits and watch.handles):
                    break
                time.sleep(LOOK_EVERY)
        except KeyboardInterrupt:
            arrays = {handle.job_id.partition("_")[0] for handle in watch.handles.values()}
            print(f"\nthe jobs go on; to end them: scancel {' '.join(sorted(arrays))}", flush=True)
            raise
        finally:
            forget(self._folder, returned)
        self.left_behind = frozenset(watch.handles)
        return [returned[number] for number in sorted(returned)]

    def _begin(self, watch: SlurmWatch, jobs: Sequence[SentJob]) -> None:
        """Submit those of the jobs that are not submitted yet, and watch all of them."""
        import submitit

        known = submitted(self._folder)
        new = [job for job in jobs if job.number not in known]
        handles = {job.number: handle for job, handle in zip(new, self.submit(new), strict=True)}
        remember(self._folder, {number: handle.job_id for number, handle in handles.items()})
        for job in jobs:
            old = known.get(job.number)
            watch.add(job, submitit.SlurmJob(self._folder, old) if old else handles[job.number])

    @staticmethod
    def _would_not_see(what: str) -> ConfigError:
        return ConfigError(
            f"is false, so nobody would see {what}",
            key="hydra.launcher.wait",
            remedy="leave one of them out",
        )


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
