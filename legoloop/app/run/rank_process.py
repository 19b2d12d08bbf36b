"""The process of one rank: ``python -m legoloop.app.run.rank_process FOLDER PARENT``.

It knows nothing of Hydra and of the user's script: it builds the app of the blueprint, and trains.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from contextlib import nullcontext, suppress
from pathlib import Path
from threading import Thread

from legoloop.app.run.rank_files import Kind, RankFailure, RankFiles, RankTask
from legoloop.app.startup.parent_death import end_with_the_parent
from legoloop.core.output_streams import silence

LOOK_EVERY = 0.2
"""Seconds between two looks at whether the run's process and the other ranks are there."""


def main() -> None:
    """Train as the rank that the environment names."""
    files, parent = RankFiles(Path(sys.argv[1])), int(sys.argv[2])
    rank = int(os.environ["RANK"])
    # A run whose process was killed may be started again at once: nobody else may write then.
    end_with_the_parent(signal.SIGKILL, parent)
    if rank > 0:
        silence()
    from legoloop.app.run.signals import SIGNALS, interruptions
    from legoloop.core.errors import UserError
    from legoloop.core.interruption import Interrupted

    status = 0
    # Ray starts its workers, and so what they start, with SIGINT blocked.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    try:
        with interruptions():
            files.write_process(rank)
            if (number := files.interruption()) is not None:
                raise Interrupted(number)
            task = files.task()
            Thread(target=_watch, args=(files, parent, rank, task.grace), daemon=True).start()
            _train(files, task, rank)
    except Interrupted as interruption:
        status = interruption.status
        _write_failure(files, rank, "interrupted", str(interruption), interruption.number)
    except UserError as error:
        status = 1
        _write_failure(files, rank, "lost" if _is_lost(error) else "mistake", str(error))
    except BaseException as error:
        status = 1
        kind: Kind = "lost" if _comes_of_a_lost_rank(error) else "bug"
        _write_failure(files, rank, kind, repr(error), trace=traceback.format_exc())
    files.write_done(rank)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # torch waits for the other ranks at its own exit


def _train(files: RankFiles, task: RankTask, rank: int) -> None:
    from legoloop.app.run.lifecycle import logged
    from legoloop.app.run.rank_training import train_task

    writes_log = rank == 0 and task.log is not None
    with logged(Path(str(task.log))) if writes_log else nullcontext():
        outcome = train_task(task, None if rank == 0 else files.scratch(rank))
    if rank == 0:
        files.write_outcome(outcome)


def _write_failure(
    files: RankFiles,
    rank: int,
    kind: Kind,
    message: str,
    number: int | None = None,
    trace: str = "",
) -> None:
    failure = RankFailure(kind, message, time.time(), number, trace)
    with suppress(OSError):  # the folder goes with the run's process
        files.write_failure(rank, failure)


def _is_lost(error: BaseException) -> bool:
    from legoloop.core.rank_group import RankLost

    return isinstance(error, RankLost)


def _comes_of_a_lost_rank(error: BaseException) -> bool:
    """Whether it is what torch raises in a collective when another rank is gone."""
    words = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Timed out")
    while True:
        if _is_lost(error) or any(word in str(error) for word in words):
            return True
        following = error.__cause__ or error.__context__
        if following is None:
            return False
        error = following


def _watch(files: RankFiles, parent: int, rank: int, grace: float) -> None:
    """End with the run's process at once, and with another rank after a moment."""
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY)
        if any(map(_has_vanished, _others(files, rank))):
            time.sleep(grace)  # so that this one can say what it lost
            break
    os.killpg(0, signal.SIGKILL)


def _others(files: RankFiles, rank: int) -> list[int]:
    try:
        processes = files.processes()
    except (OSError, ValueError):
        return []
    return [pid for other, pid in processes.items() if other != rank and not files.is_done(other)]


def _has_vanished(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


if __name__ == "__main__":
    main()
