"""Jobs in processes that stay for the next ones, by joblib: ``hydra/launcher=joblib``."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from typing import Any

from hydra.core.utils import JobReturn

from legoloop.app.sweep.launchers.jobs import JobsLauncher, SentJob
from legoloop.core.errors import ArgumentError, UserError


class JoblibLauncher(JobsLauncher):
    """Carries out ``n_jobs`` jobs at once; ``settings`` are further ones of ``joblib.Parallel``.

    Each process computes in its share of the cores' threads, unless the environment says in how
    many. They are shared by the jobs: one that dies ends the sweep.

    Raises ArgumentError for a number of jobs that is none.
    """

    def __init__(self, n_jobs: int = -1, **settings: Any) -> None:
        if not isinstance(n_jobs, int) or n_jobs == 0:
            raise ArgumentError(
                f"is {n_jobs!r}",
                argument="n_jobs",
                remedy="give a whole number of jobs at once, or -1 for one a core",
            )
        # One at a time: jobs are long, and the next one is not composed before it can begin.
        usual = {"batch_size": 1, "pre_dispatch": "n_jobs"}
        self._settings = {**usual, **settings, "n_jobs": n_jobs, "backend": "loky"}

    def execute(self, jobs: Iterator[SentJob]) -> list[JobReturn]:
        """How each of the jobs ended, in their order.

        Raises UserError if one of the processes died.
        """
        from joblib import Parallel, delayed

        start_method = multiprocessing.get_start_method(allow_none=True)
        calls = (delayed(_carried_out)(job, start_method) for job in jobs)
        try:
            returned: list[JobReturn] = Parallel(**self._settings)(calls)
        except BrokenExecutor as error:
            raise UserError(
                "a job's process died, which ends the sweep; hydra/launcher=processes isolates jobs"
            ) from error
        return returned


def _carried_out(job: SentJob, start_method: str | None) -> JobReturn:
    # The pool makes its own way of starting processes the usual one in its processes, and with
    # that a DataLoader cannot start workers.
    multiprocessing.set_start_method(start_method, force=True)
    return job()
