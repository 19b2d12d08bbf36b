"""A process a job, several at once: ``hydra/launcher=processes``.

A job that dies, whatever of, is one failed job and nothing more.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import get_args

from hydra.core.utils import JobReturn

from legoloop.app.run.signals import interruptions
from legoloop.app.sweep.launchers import job_process
from legoloop.app.sweep.launchers.job_process import JobProcess
from legoloop.app.sweep.launchers.jobs import OneByOneLauncher, SentJob, has_failed
from legoloop.app.sweep.launchers.process_start import (
    HYDRA_MODULES,
    TRAINING_MODULES,
    ForkServer,
    NewInterpreters,
    ProcessStart,
    StartMethod,
)
from legoloop.core.errors import ArgumentError
from legoloop.core.interruption import Interrupted

GPUS = "CUDA_VISIBLE_DEVICES"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LOOK_EVERY = 0.05  # seconds


class ProcessLauncher(OneByOneLauncher):
    """Carries out ``n_jobs`` jobs at once, each in a process of its own.

    Args:
        n_jobs: how many run at once; None: one for each of the ``gpus``, or one.
        gpus: ids, or texts of several with commas, that the jobs share; a job sees one of them.
        threads_per_job: threads that a job computes in; None: as many as the environment says,
            else its share of the cores.
        start_method: ``forkserver``: jobs are forks of a process that has imported torch and Hydra,
            which saves each of them seconds; ``spawn``: each is a new interpreter; None:
            ``forkserver`` on Linux, else ``spawn``.

    Raises ArgumentError for n_jobs or threads_per_job that are no whole number of at least 1, and
    for a start_method that there is not.
    """

    def __init__(
        self,
        n_jobs: int | None = None,
        gpus: Sequence[int | str] | None = None,
        threads_per_job: int | None = None,
        start_method: StartMethod | None = None,
    ) -> None:
        for name, value in (("n_jobs", n_jobs), ("threads_per_job", threads_per_job)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ArgumentError(
                    f"is {value!r}", argument=name, remedy="give a whole number of at least 1"
                )
        self._gpus = [str(gpu) for gpu in gpus or ()]
        self._slots = n_jobs or len(self._gpus) or 1
        self._threads = threads_per_job
        available = get_args(StartMethod) if sys.platform == "linux" else ("spawn",)
        if start_method not in (None, *available):
            known = " or ".join(available)
            problem = f"is {start_method!r}, which there is not on this system"
            raise ArgumentError(problem, argument="start_method", remedy=f"give {known}")
        self._start_method = start_method or available[0]

    def environment(self, slot: int) -> Mapping[str, str]:
        """What is set for the jobs in a slot.

        >>> launcher = ProcessLauncher(gpus=[2, "5,6"], threads_per_job=4)
        >>> launcher.environment(1)["CUDA_VISIBLE_DEVICES"]
        '5,6'
        """
        # Of the slots, not of the jobs that are left: the number of threads changes the bits.
        share = str(self._threads or max(1, _cores() // self._slots))
        is_given = self._threads is not None
        threads = {name: share for name in THREADS if is_given or name not in os.environ}
        gpus = {GPUS: self._gpus[slot % len(self._gpus)]} if self._gpus else {}
        return {**threads, **gpus}

    def _process_start(self) -> ProcessStart:
        if self._start_method == "spawn":
            return NewInterpreters(job_process.__name__)
        threads = {k: v for k, v in self.environment(0).items() if k != GPUS}
        imported = (*HYDRA_MODULES, *(TRAINING_MODULES if self.runs_are_ours else ()))
        return ForkServer(job_process.__name__, threads, imported)

    def execute(
        self, jobs: Iterator[SentJob], ended: Callable[[int], None] = lambda number: None
    ) -> list[JobReturn]:
        """How each of the jobs that began ended, in their order; ``ended`` is called for each.

        What asks the sweep to end is passed on to the jobs, and raised when they have ended; a
        second Ctrl-C kills them.
        """
        asked: list[Interrupted] = []
        running: dict[int, JobProcess] = {}
        begun: list[int] = []
        returned: dict[int, JobReturn] = {}

        def look() -> None:
            for slot, process in list(running.items()):
                process.pass_on(asked)
                if process.has_ended():
                    how = process.end()
                    del running[slot]
                    if not isinstance(how, str):
                        returned[process.job.number] = how
                    elif not asked:
                        returned[process.job.number] = process.job.died(how)
                    ended(process.job.number)
            time.sleep(LOOK_EVERY)

        start = self._process_start()
        with interruptions(asked.append):
            try:
                while not asked and not (self.stops_on_failure and has_failed(returned.values())):
                    slot = next((n for n in range(self._slots) if n not in running), None)
                    if slot is None:
                        look()
                    elif (job := next(jobs, None)) is not None:
                        begun.append(job.number)
                        running[slot] = JobProcess(job, start, self.environment(slot))
                    else:
                        break
                while running:
                    look()
            finally:
                for process in running.values():
                    process.end()
                start.close()
        if asked:
            raise asked[0]
        return [returned[number] for number in begun]


def _cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
