"""A run of two ranks, of which any process is killed at any moment."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from tests.faults.kills import moments, problem_of_a_killed
from tests.faults.tally import Tally
from tests.faults.trials import Attempt, Ended, trial, uninterrupted

RANKS = "ranks=2"
PROCESSES = ("the run's process", "rank 0", "rank 1")
RANK_1 = 2
AT_ONCE = 5.0
"""Seconds within which all of a run must have ended."""


def killed_with_ranks(long: bool) -> Tally:
    """SIGKILL of either rank, or of the process that started them, at uniform moments."""
    tally = Tally()
    seconds = uninterrupted(RANKS).seconds
    for number, moment in enumerate(moments(102 if long else 1, seconds)):
        which = number % len(PROCESSES) if long else RANK_1
        with trial(RANKS) as killed:
            attempt = killed.begin()
            ended, waited = kill_process(attempt, which, moment)
            problem = problem_of_a_killed(killed)
            if ended.status != 0 and waited > AT_ONCE:
                problem = f"it ended {waited:.1f} s after it was killed"
            if which and ended.status != 0 and ended.err.count("\n") > 1:
                problem = f"it ended in more than a line: {ended.err.strip()[-300:]}"
            told = f"{PROCESSES[which]}, after {moment:.2f} of {seconds:.2f} s"
            tally.count(told, problem)
    return tally


def kill_process(attempt: Attempt, which: int, moment: float) -> tuple[Ended, float]:
    """Kill the process of the run (0) or one of its ranks; how it ended, and after how long."""
    time.sleep(max(0.0, attempt.began + moment - time.monotonic()))
    target = attempt.pid if which == 0 else _rank(attempt.pid, which - 1)
    if target is not None:
        with suppress(ProcessLookupError):
            os.kill(target, signal.SIGKILL)
    killed_at = time.monotonic()
    ended = attempt.ended(within=120.0)
    return ended, 0.0 if target is None else time.monotonic() - killed_at


def _rank(parent: int, rank: int) -> int | None:
    """The process of a rank, if it has been started."""
    with suppress(OSError, IndexError):
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        ranks = [pid for pid in children if b"rank_process" in _command(pid)]
        return int(ranks[rank])
    return None


def _command(pid: str) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()
