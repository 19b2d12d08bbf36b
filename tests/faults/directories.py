"""One run directory, and more than one process that wants it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.faults.interruptions import before_a_call
from tests.faults.kills import kill_itself
from tests.faults.tally import Tally
from tests.faults.trials import Ended, Trial, trial, uninterrupted


def started_twice(long: bool) -> Tally:
    """A finished run started again, and a run started again while it is under way."""
    tally = Tally()
    with trial() as one:
        assert one.run().status == 0
        before = contents(one.directory)
        tally.count("one that is finished", _refused([one.run()], "holds a run already"))
        tally.count("its bytes", _changed(one, before))
    with trial() as one:
        # Held where it stands, so that nothing of it moves meanwhile.
        stop = before_a_call(
            "faulted:Net.forward", 20, lambda: os.kill(os.getpid(), signal.SIGSTOP)
        )
        running = one.begin(fault=stop)
        os.waitid(os.P_PID, running.pid, os.WSTOPPED)
        before = contents(one.directory)
        others = [one.begin() for _ in range(19 if long else 2)]
        for other in others:
            tally.count("one that runs", _refused([other.ended()], "is in use by a run"))
        tally.count("its bytes", _changed(one, before))
        os.kill(running.pid, signal.SIGCONT)
        ended = running.ended()
        problem = one.outcome().differs_from(uninterrupted().outcome)
        tally.count("the one that runs", problem if ended.status == 0 else ended.err)
    return tally


def started_by_many_at_once(long: bool) -> Tally:
    """Many processes begin one run, or go on with one that was killed, at the same moment."""
    tally = Tally()
    number = 20 if long else 5
    for killed in (False, True):
        with trial() as one:
            if killed:
                one.run(fault=before_a_call("faulted:Net.forward", 20, kill_itself))
            together = before_a_call(
                "legoloop.state.run_record:check_startable",
                1,
                partial(_wait_until, time.time() + 0.1 * number),
            )
            attempts = [one.begin(fault=together) for _ in range(number)]
            ended = [attempt.ended() for attempt in attempts]
            won = [each for each in ended if each.status == 0]
            lost = [each for each in ended if each.status != 0]
            told = "going on with one" if killed else "a new one"
            one_won = None if len(won) == 1 else f"{len(won)} ran"
            tally.count(told, one_won or one.outcome().differs_from(uninterrupted().outcome))
            for each in lost:
                tally.count(told, _refused([each], "hydra.run.dir (command line): "))
    return tally


def _wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.time()))


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every byte in a folder, and when it was written."""
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(".lock")
    }


def _changed(one: Trial, before: dict[str, tuple[bytes, int]]) -> str | None:
    after = contents(one.directory)
    wrong = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    return f"changed: {', '.join(wrong)}" if wrong else None


def _refused(ended: Sequence[Ended], because: str) -> str | None:
    for each in ended:
        lines = each.err.splitlines()
        if each.status != 2 or len(lines) != 1 or because not in lines[0]:
            return f"ended with {each.status}: {each.err[-300:]}"
    return None
