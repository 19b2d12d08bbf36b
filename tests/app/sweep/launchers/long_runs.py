"""Sweeps of runs that last for some seconds, for what happens to them meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from legoloop.state.run_record import read_record
from tests.app.command import SMALL, environment, in_a_process
from tests.fork_server import ForkedProcess

SLOW = """
import time
class Slow:
    def __init__(self, seconds):
        self.seconds = seconds
    def epoch_end(self):
        time.sleep(self.seconds)
"""
WORDS = (
    *("-m", *SMALL, "loggers=[]", "hydra.sweep.dir=sweep", "num_epochs=24"),
    *("+plugins.slow._target_=slow.Slow", "+plugins.slow.seconds=0.25"),
)
"""Six seconds a job."""


def going_on(here: Path, *overrides: str, **changes: str) -> ForkedProcess:
    """A sweep of long runs."""
    (here / "slow.py").write_text(SLOW)
    words = ["-m", "legoloop.run", *WORDS, *overrides]
    return ForkedProcess(words, cwd=here, env=environment(**changes))


def saved(here: Path, job: int) -> bool:
    """Whether a job has saved a state that is not its first."""
    folder = here / "sweep" / str(job) / "checkpoints"
    return any(path.name.isdecimal() and int(path.name) > 0 for path in folder.glob("*"))


def attempts(here: Path, job: int) -> list[tuple[str, bool]]:
    """The status of each attempt at a job, and whether it was resumed."""
    record: Any = read_record(here / "sweep" / str(job))
    return [(each["status"], "resumed_from" in each) for each in record["attempts"]]


def weights(here: Path, jobs: int) -> list[bytes]:
    """Those of the first jobs."""
    return [(here / "sweep" / str(job) / "weights").read_bytes() for job in range(jobs)]


def undisturbed(here: Path, jobs: int, *overrides: str) -> list[bytes]:
    """The weights that Hydra's basic launcher makes, for so many seeds."""
    here.mkdir()
    (here / "slow.py").write_text(SLOW)
    how = in_a_process(here, *WORDS, f"seed=range({jobs})", "plugins.slow.seconds=0", *overrides)
    assert how.status == 0, how
    return weights(here, jobs)
