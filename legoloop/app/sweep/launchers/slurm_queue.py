"""What Slurm knows of jobs, by the commands that every cluster has; accounting is not needed."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Mapping

ENDED = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"),
    *("OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
}
"""The states that a job does not leave, unless it is requeued."""

FORGOTTEN = "no longer known to Slurm"
PATIENCE = 60
"""Seconds that a command may take."""


def states(jobs: Collection[str]) -> Mapping[str, str] | None:
    """The state of each job by its number, such as ``17_3``; None if Slurm does not answer.

    Those that have ended are known to ``squeue`` for some minutes; later to ``sacct``, where there
    is accounting.
    """
    listed = _asked(
        *("squeue", "--noheader", "--array", "--states=all", "--format=%i %T"),
        f"--jobs={_numbers(jobs)}",
    )
    if listed is None:
        return None
    known = _parsed(listed, " ")
    missing = [job for job in jobs if job not in known]
    if missing:
        command = ("sacct", "--noheader", "--allocations", "--parsable2", "--format=JobID,State")
        known |= _parsed(_asked(*command, f"--jobs={','.join(missing)}") or "", "|")
    return {job: known.get(job, FORGOTTEN) for job in jobs}


def has_ended(state: str) -> bool:
    """Whether a job in this state is over.

    >>> has_ended("OUT_OF_MEMORY"), has_ended("COMPLETING")
    (True, False)
    """
    return state in ENDED or state == FORGOTTEN


def is_ending(job: str | None) -> bool:
    """Whether Slurm is ending this job, since it is requeued, or was cancelled."""
    if job is None:
        return False
    command = ("squeue", "--noheader", "--states=COMPLETING", "--format=%A", f"--jobs={job}")
    return bool((_asked(*command) or "").strip())


def cancel_waiting(jobs: Collection[str]) -> None:
    """Take those out of the queue that have not begun."""
    _asked("scancel", "--state=PENDING", *jobs)


def _numbers(jobs: Collection[str]) -> str:
    """Those of the whole arrays: a list of all of their jobs may be longer than a command may be.

    >>> _numbers(["17_0", "17_1", "20"])
    '17,20'
    """
    return ",".join(dict.fromkeys(job.partition("_")[0] for job in jobs))


def _parsed(lines: str, separator: str) -> dict[str, str]:
    """The first word of the second column by the first.

    >>> _parsed("17_0|CANCELLED by 0", "|")
    {'17_0': 'CANCELLED'}
    """
    pairs = (line.strip().partition(separator) for line in lines.splitlines())
    return {job: (rest.split() or [""])[0] for job, _, rest in pairs if job}


def _asked(*command: str) -> str | None:
    """What a command printed; nothing of jobs that Slurm has forgotten, None if it failed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return None
    is_forgotten = "Invalid job id" in done.stderr
    return done.stdout if done.returncode == 0 or is_forgotten else None
