"""Jobs for a Ray cluster, or for Ray on this machine: ``hydra/launcher=ray``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from hydra.core.utils import JobReturn
from omegaconf import DictConfig, OmegaConf

from legoloop.app.sweep.launchers.jobs import JobsLauncher, SentJob
from legoloop.core.errors import MissingExtraError


class RayLauncher(JobsLauncher):
    """A Ray task, in a process of its own, for each job; one that dies is one failed job.

    ``init`` goes to ``ray.init``; ``remote`` to ``ray.remote``: what a job needs.

    Raises MissingExtraError without Ray.
    """

    def __init__(self, init: DictConfig, remote: DictConfig) -> None:
        if find_spec("ray") is None:
            raise MissingExtraError.of("hydra/launcher=ray", "ray", "ray")
        self._init: Any = OmegaConf.to_container(init)
        self._remote: Any = OmegaConf.to_container(remote)

    def execute(self, jobs: Iterator[SentJob]) -> list[JobReturn]:
        """How each of the jobs ended, in their order."""
        import ray
        from ray.exceptions import RayError

        def outcome(job: SentJob, reference: Any) -> JobReturn:
            try:
                returned: JobReturn = ray.get(reference)
            except RayError as error:
                return job.died(f"{type(error).__name__}: {str(error).splitlines()[0]}")
            return returned

        with ray.init(**self._init):
            task = ray.remote(max_calls=1, max_retries=0, **self._remote)(_carried_out)
            begun = [(job, task.remote(job, os.getcwd())) for job in jobs]
            return [outcome(job, reference) for job, reference in begun]


def _carried_out(job: SentJob, here: str) -> JobReturn:
    os.chdir(here)
    return job()
