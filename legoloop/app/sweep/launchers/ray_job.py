"""A job as Ray runs it in a worker of some node."""

from __future__ import annotations

import os
import time
from pathlib import Path
from platform import node
from typing import TYPE_CHECKING, Any

from legoloop.app.startup.parent_death import end_with_the_parent
from legoloop.app.sweep.launchers.job_nodes import ALONE, JobNode
from legoloop.core.errors import DataError
from legoloop.core.text import printable
from legoloop.state.directory_lock import is_locked
from legoloop.state.lease import leased

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

    from legoloop.app.sweep.launchers.jobs import SentJob

PATIENCE = 60.0
"""Seconds that an earlier attempt has to save, or to be taken for dead."""


def carried_out(job: SentJob, here: str, again: bool, at: JobNode = ALONE) -> JobReturn | None:
    """How a job ended that runs in this process; None on a machine other than its first.

    Args:
        job: of the sweep.
        here: the directory that the sweep was started in.
        again: whether it began before, on a node that died.
        at: this machine among those of the job.

    Raises DataError if this node does not see the folder of the sweep.
    """
    end_with_the_parent()
    for folder in (here, str(job.config.hydra.sweep.dir)):
        if not Path(here, folder).is_dir():
            raise DataError(
                f"the node {printable(node())} does not see {printable(folder)}; all nodes of a "
                "cluster must see the folder of the sweep, and that it is started in"
            )
    os.chdir(here)
    if again and at.number == 0:
        _wait_for_the_attempt_before(job.directory)
    with leased():
        return at.carry_out(job, host=_address)


def _address() -> str:
    from ray import util

    ray_util: Any = util
    return str(ray_util.get_node_ip_address())


def _wait_for_the_attempt_before(directory: Path) -> None:
    give_up = time.monotonic() + PATIENCE
    while is_locked(directory, "run") and time.monotonic() < give_up:
        time.sleep(0.2)
