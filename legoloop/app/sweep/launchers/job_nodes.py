"""A job on each of the machines that its launcher gives it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from legoloop.app.run.rendezvous import Rendezvous

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

    from legoloop.app.sweep.launchers.jobs import SentJob


@dataclass(frozen=True)
class JobNode:
    """One of the machines of a job.

    Args:
        number: from 0; the first one has the process of the run.
        rendezvous: where they meet; None: there is one machine.
    """

    number: int = 0
    rendezvous: Rendezvous | None = None

    def carry_out(self, job: SentJob, host: Callable[[], str]) -> JobReturn | None:
        """How the job ended, as the first one; the others have ranks of it, and nothing to return.

        Args:
            job: of the sweep.
            host: gives the name or address by which the others reach this machine.
        """
        if self.rendezvous is None:
            return job()
        from legoloop.app.run.node_agent import join_run
        from legoloop.app.run.nodes import first_of

        if self.number == 0:
            with first_of(self.rendezvous, host()):
                return job()
        os.environ.update(job.config.hydra.job.env_set)  # which Hydra does on the first one
        join_run(self.rendezvous, self.number)
        return None


ALONE = JobNode()
"""The only machine of a job."""
