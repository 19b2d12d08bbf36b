"""Jobs that were submitted to Slurm, looked at until each has ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from hydra.core.utils import JobReturn

from legoloop.app.sweep.launchers.jobs import SentJob
from legoloop.app.sweep.launchers.slurm_queue import cancel_waiting, has_ended, states
from legoloop.app.sweep.launchers.submitit_job import returned_by

ASK_EVERY = (1.0, 30.0)
"""Seconds between two questions to Slurm: at first, and after a while without news."""
GRACE = 10.0
"""Seconds that the result of a job that is over may need to be seen through a network."""


class SlurmWatch:
    """Looks at submitted jobs: a result is a file; that a job died without one, Slurm tells.

    ``handles`` are submitit's of the jobs that have not ended, by number.
    """

    def __init__(self) -> None:
        self.handles: dict[int, Any] = {}
        self._jobs: dict[int, SentJob] = {}
        self._states: Mapping[str, str] = {}
        self._over: dict[int, float] = {}
        self._pause = ASK_EVERY[0]
        self._next = 0.0
        self._is_cancelled = False

    def add(self, job: SentJob, handle: Any) -> None:
        """Watch this job too."""
        self._jobs[job.number], self.handles[job.number] = job, handle

    def look(self) -> dict[int, JobReturn]:
        """How those ended of which this is new; they are watched no longer."""
        self._ask()
        ended: dict[int, JobReturn] = {}
        for number, handle in list(self.handles.items()):
            state = self._states.get(handle.job_id, "")
            if (returned := returned_by(self._jobs[number], handle, has_ended(state))) is not None:
                ended[number] = returned
            elif self._is_cancelled and has_ended(state) and not handle.paths.stdout.exists():
                pass  # it never began
            elif not self._is_over(number, state):
                continue
            else:
                cause = f"died (its state: {state}); see {handle.paths.stderr}"
                ended[number] = self._jobs[number].died(cause)
            del self.handles[number]
        if ended:
            self._pause = ASK_EVERY[0]
        return ended

    def cancel_waiting(self) -> None:
        """Take those out of the queue that have not begun; of these there is nothing to tell."""
        if not self._is_cancelled:
            self._is_cancelled = True
            cancel_waiting([handle.job_id for handle in self.handles.values()])
            self._next = 0.0

    def _ask(self) -> None:
        if time.monotonic() < self._next or not self.handles:
            return
        known = states([handle.job_id for handle in self.handles.values()])
        if known is not None:
            self._states = known
        self._next = time.monotonic() + self._pause
        self._pause = min(self._pause * 1.5, ASK_EVERY[1])

    def _is_over(self, number: int, state: str) -> bool:
        """Whether it is over for so long that no result will be seen any more."""
        if not has_ended(state):
            self._over.pop(number, None)
            return False
        return time.monotonic() - self._over.setdefault(number, time.monotonic()) >= GRACE
