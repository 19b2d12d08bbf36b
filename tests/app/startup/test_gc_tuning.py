"""How a process that looks for garbage rarely starts and ends: as any other, but sooner."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from tests.app.command import SMALL, Ended, environment, in_a_process

pytestmark = pytest.mark.slow  # the command, again and again

MINE = """
import atexit
import gc
import json
import sys
import threading
import time
import legoloop

NOT_CLOSED = open("not_closed", "w")
NOT_CLOSED.write("flushed")
atexit.register(lambda: print("the user's own handler"))

class Ends:
    def __init__(self, how=None):
        self.how = how

    def train_start(self):
        assert gc.get_threshold() == GARBAGE and gc.isenabled(), "as Python has it while it trains"
        threading.Thread(target=lambda: (time.sleep(0.5), print("the thread"))).start()
        if self.how == "data":
            raise legoloop.DataError("odd")
        if self.how == "exit":
            sys.exit(3)

class Counts:
    "What a process has imported before its first step."
    def __init__(self):
        self.has_told = False

    def batch_start(self, step):
        if not self.has_told:
            self.has_told = True
            with open("imported", "w") as file:
                json.dump(sorted(sys.modules), file)
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(f"GARBAGE = {gc.get_threshold()}\n{MINE}")
    return tmp_path


def ended(here: Path, *arguments: str) -> Ended:
    path = f"{environment()['PYTHONPATH']}:{here}"
    return in_a_process(here, *arguments, *SMALL, fresh=True, PYTHONPATH=path)


@pytest.mark.parametrize(
    ("how", "status", "told"),
    [
        pytest.param("null", 0, "", marks=pytest.mark.long),
        pytest.param("data", 1, "error: odd\n", marks=pytest.mark.long),
        ("exit", 3, ""),
    ],
)
def test_all_that_python_does_at_the_end_is_done(
    how: str, status: int, told: str, here: Path
) -> None:
    ends = f"+plugins.mine={{_target_: mine.Ends, how: {how}}}"
    found = ended(here, "loggers=[]", ends)
    assert (found.status, found.err) == (status, told)
    assert "the thread\n" in found.out
    assert found.out.endswith("the user's own handler\n")
    assert (here / "not_closed").read_text() == "flushed"


@pytest.mark.parametrize("launcher", ["basic", pytest.param("processes", marks=pytest.mark.long)])
def test_a_sweep_ends_so_too(launcher: str, here: Path) -> None:
    ends = "+plugins.mine={_target_: mine.Ends}"
    found = ended(here, "-m", "seed=0,1", "loggers=[]", ends, f"hydra/launcher={launcher}")
    printed = found.out + "".join(file.read_text() for file in here.rglob("output.log"))
    assert (found.status, printed.count("the thread\n")) == (0, 2)
    processes = 3 if launcher == "processes" else 1
    assert printed.count("the user's own handler\n") == processes
    assert found.out.endswith("the user's own handler\n")


HEAVY = ("matplotlib", "pandas", "sklearn", "tensorboard", "rich")


def test_what_is_heavy_is_imported_after_the_first_step(here: Path) -> None:
    counts = "+plugins.mine={_target_: mine.Counts}"
    found = ended(here, counts)
    assert (found.status, found.err) == (0, "")
    imported = (here / "imported").read_text()
    assert '"torch"' in imported
    assert [name for name in HEAVY if f'"{name}"' in imported] == []
