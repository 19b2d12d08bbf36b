"""A job as submitit runs it on a node of the cluster."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from platform import node
from subprocess import CalledProcessError
from typing import TYPE_CHECKING, Any

from legoloop.app.run.rendezvous import Rendezvous
from legoloop.app.startup.parent_death import end_with_the_parent
from legoloop.app.sweep.launchers.job_nodes import ALONE, JobNode
from legoloop.app.sweep.launchers.slurm_queue import is_ending
from legoloop.core.interruption import Interrupted
from legoloop.state.lease import leased

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

    from legoloop.app.sweep.launchers.jobs import SentJob


@dataclass(frozen=True)
class Requeued:
    """Carries out a job; one that was interrupted has saved, and is put back into the queue.

    Not one that Slurm is ending: it requeues that itself, or somebody cancelled it, and Slurm would
    requeue it all the same.

    Args:
        nodes: the machines of the job, each with a task of Slurm's.
    """

    nodes: int = 1

    def __call__(self, job: SentJob) -> JobReturn | None:
        """How the job ended; None on a machine other than its first."""
        from submitit.core.job_environment import JobEnvironment

        end_with_the_parent()
        try:
            with leased():
                return job_node(self.nodes).carry_out(job, host=node)
        except Interrupted:
            if is_ending(os.environ.get("SLURM_JOB_ID")):
                sys.exit(1)
            try:
                # Submitit's signal handlers are back by now: they checkpoint and requeue.
                signal.raise_signal(signal.Signals[f"SIG{JobEnvironment.USR_SIG}"])
            except CalledProcessError:
                sys.exit(1)  # it was ended a moment ago
            raise

    def checkpoint(self, job: SentJob) -> Any:
        """The same job, to be resumed in its directory."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, job)


def job_node(nodes: int) -> JobNode:
    """This machine among those of the job that Slurm runs here."""
    if nodes == 1:
        return ALONE
    attempt = f"{os.environ['SLURM_JOB_ID']}.{os.environ.get('SLURM_RESTART_COUNT', 0)}"
    file = Path(os.environ["SUBMITIT_FOLDER"], f"{attempt}.nodes.json")
    return JobNode(int(os.environ["SLURM_PROCID"]), Rendezvous(file, nodes))


def returned_by(job: SentJob, handle: Any, is_over: bool = True) -> JobReturn | None:
    """What a job returned, by the file that submitit wrote; None if there is none.

    One that raised outside of the job, such as for a module that the node does not have, is a
    failed job; as long as it is not over, it may be in the queue again.
    """
    from submitit.core.utils import pickle_load

    try:
        outcome, value = pickle_load(handle.paths.result_pickle)
    except (OSError, EOFError):
        return None
    if outcome == "success":
        returned: JobReturn = value
        return returned
    cause = str(value).strip().rpartition("\n")[2]
    return job.died(f"{cause}; see {handle.paths.stderr}") if is_over else None
