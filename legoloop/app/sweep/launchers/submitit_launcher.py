"""Jobs for Slurm, by submitit: ``hydra/launcher=slurm``; ``slurm_local`` tries it out here."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from shutil import which
from typing import Any, ClassVar

from hydra.core.utils import JobReturn
from omegaconf import OmegaConf

from legoloop.app.sweep.launchers.jobs import JobsLauncher, SentJob
from legoloop.core.errors import ConfigError, MissingExtraError
from legoloop.core.interruption import Interrupted

PREEMPT_SIGNAL = "SUBMITIT_PREEMPT_SIGNAL"
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


class SubmititLauncher(JobsLauncher):
    """Submits all jobs at once and waits for them; a job that dies is one failed job.

    ``parameters`` are those of submitit's executor, without the name of the cluster.

    Raises MissingExtraError without submitit.
    """

    cluster: ClassVar[str]
    option: ClassVar[str]

    def __init__(self, submitit_folder: str, max_num_timeout: int = 0, **parameters: Any) -> None:
        if find_spec("submitit") is None:
            raise MissingExtraError.of(f"hydra/launcher={self.option}", "submitit", "submitit")
        self._folder = submitit_folder
        self._max_num_timeout = max_num_timeout
        self._parameters = {
            name if name in COMMON else f"{self.cluster}_{name}": _plain(value)
            for name, value in parameters.items()
            if value is not None
        }

    def execute(self, jobs: Iterator[SentJob]) -> list[JobReturn]:
        """How each of the jobs ended, in their order."""
        # Read at the import: submitit's own choice, SIGUSR2, is none that a run saves on.
        os.environ.setdefault(PREEMPT_SIGNAL, "USR1")
        import submitit

        submitted = list(jobs)
        executor = submitit.AutoExecutor(
            self._folder, cluster=self.cluster, slurm_max_num_timeout=self._max_num_timeout
        )
        executor.update_parameters(**self._parameters)
        handles = executor.map_array(Requeued(), submitted)
        return [_outcome(job, handle) for job, handle in zip(submitted, handles, strict=True)]


class LocalLauncher(SubmititLauncher):
    """All jobs at once on this machine."""

    cluster, option = "local", "slurm_local"


class SlurmLauncher(SubmititLauncher):
    """The jobs of a Slurm array.

    Raises ConfigError on a machine that has not Slurm's commands.
    """

    cluster, option = "slurm", "slurm"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if which("srun") is None:
            raise ConfigError(
                "Slurm's command srun is not found; start the sweep on a node that has it, "
                "or try it out with hydra/launcher=slurm_local"
            )


class Requeued:
    """Carries out a job; one that was interrupted has saved, and is put back into the queue."""

    def __call__(self, job: SentJob) -> JobReturn:
        """How the job ended."""
        from submitit.core.job_environment import JobEnvironment

        try:
            return job()
        except Interrupted:
            # Submitit's signal handlers are back by now: they ask for the checkpoint and requeue.
            signal.raise_signal(signal.Signals[f"SIG{JobEnvironment.USR_SIG}"])
            raise

    def checkpoint(self, job: SentJob) -> Any:
        """The same job, to be resumed in its directory."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, job)


def _outcome(job: SentJob, handle: Any) -> JobReturn:
    from submitit.core.utils import UncompletedJobError

    try:
        returned: JobReturn = handle.result()
    except UncompletedJobError:
        return job.died(f"died (its state: {handle.state}); see {handle.paths.stderr}")
    return returned


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
