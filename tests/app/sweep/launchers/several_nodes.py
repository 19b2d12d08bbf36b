"""A run with a rank on each of two nodes, which is ended in every way and goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from legoloop.state.run_record import read_record
from tests.app.sweep.launchers.long_runs import going_on, undisturbed, weights
from tests.app.sweep.launchers.sweeps import ended, wait_until
from tests.fork_server import ForkedProcess

NODES = ("ranks=2", "nodes=2")
HALVES = "plugins.descent.micro_batch_size=16"
"""With it, one process adds up what two ranks do."""


def process_of(rank: int, here: Path) -> psutil.Process:
    """The process of a rank of a sweep that was started in a folder."""
    (found,) = (each for each in psutil.process_iter() if _is_rank(each, rank, here))
    return found


def _is_rank(process: psutil.Process, rank: int, here: Path) -> bool:
    try:
        is_one = "legoloop.app.run.rank_process" in process.cmdline()
        return is_one and process.cwd() == str(here) and process.environ()["RANK"] == str(rank)
    except psutil.Error:
        return False


def newest_checkpoint(here: Path) -> int:
    """The number of steps of the newest checkpoint of the first job."""
    folder = here / "sweep" / "0" / "checkpoints"
    return max((int(path.name) for path in folder.glob("*") if path.name.isdecimal()), default=0)


End = Callable[[ForkedProcess], object]
"""Ends a job of a sweep, which it is given."""


def ended_by(here: Path, end: End, *words: str, **changes: str) -> dict[str, Any]:
    """The record of the first job, which was ended once it had saved something new."""
    before = newest_checkpoint(here)
    sweep = going_on(here, *words, *NODES, **changes)
    wait_until(lambda: newest_checkpoint(here) > before)
    end(sweep)
    how = ended(sweep)
    assert how.status != 0, how
    return dict(read_record(here / "sweep" / "0"))


def completes(here: Path, *words: str, **changes: str) -> None:
    """It goes on to its end, with the bits of one process that nobody ended."""
    how = ended(going_on(here, *words, *NODES, **changes))
    assert how.status == 0, how
    record: Any = read_record(here / "sweep" / "0")
    assert record["status"] == "COMPLETED"
    assert {(each["ranks"], each["nodes"]) for each in record["attempts"]} == {(2, 2)}
    assert weights(here, 1) == undisturbed(here / "basic", 1, HALVES)


def sweep_completes(here: Path, *words: str, **changes: str) -> None:
    """Two jobs on two nodes leave what jobs of one process leave."""
    quick = ("seed=0,1", "plugins.slow.seconds=0.01")
    how = ended(going_on(here, *words, *NODES, *quick, **changes))
    assert how.status == 0, how
    expected = undisturbed(here / "basic", 2, HALVES)
    assert weights(here, 2) == expected
    assert files_of_jobs(here) == files_of_jobs(here / "basic")


def files_of_jobs(here: Path) -> list[str]:
    """All that the jobs have left, but for what they printed."""
    jobs = (here / "sweep" / job for job in "01")
    found = (path.relative_to(here) for job in jobs for path in job.rglob("*"))
    return sorted(str(path) for path in found if path.name != "output.log")
