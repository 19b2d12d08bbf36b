"""Disks that are full, and disks that fail."""

from __future__ import annotations

import errno
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

from legoloop.core.errors import DataError
from legoloop.state.checkpoints import checkpoints_in, verify
from tests.faults.calls import Act, Calls, failing_from, one_save
from tests.faults.kills import calls_of_a_run
from tests.faults.tally import Tally
from tests.faults.trials import (
    EVERY,
    Trial,
    get_ready,
    resumed_as_if_nothing_had_happened,
    trial,
    uninterrupted,
)

BYTES = r"it needs \d+ bytes, \d+ are free; the checkpoints before it are whole"


def disk_full_from_any_call(long: bool) -> Tally:
    """ENOSPC at one call to the disk and at all after it."""
    return _failing(partial(failing_from, error=errno.ENOSPC), "ENOSPC", long)


def disk_failing_at_any_call(long: bool) -> Tally:
    """EIO at one call, and not again."""
    return _failing(partial(failing_from, error=errno.EIO, times=1), "EIO", long)


def disk_that_is_small(long: bool) -> Tally:
    """A disk of its own, full at several moments; where a user may mount one."""
    tally = Tally()
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    with trial() as small:
        mounting = [*alone, "mount", "-t", "tmpfs", "tmpfs", str(small.here)]
        if not shutil.which("unshare") or subprocess.run(mounting, capture_output=True).returncode:
            return tally
        mounted = 'mount -t tmpfs -o size=1m tmpfs "$1" && exec "$2" -m tests.faults.disks "$1" $3'
        done = subprocess.run(
            [*alone, "sh", "-c", mounted, "sh", str(small.here), sys.executable, "long" * long],
            capture_output=True,
            text=True,
        )
        for line in done.stdout.splitlines():
            left, _, problem = line.partition(": ")
            tally.count(left, problem or None)
        if done.returncode:
            tally.count("a small disk", done.stderr)
    return tally


def _failing(act: partial[Act], told: str, long: bool) -> Tally:
    tally = Tally()
    overrides = ("num_epochs=1",)
    made = calls_of_a_run(*overrides)
    save = one_save(made, 2 * EVERY, 3 * EVERY)
    numbers = sorted({*range(0, len(made), 5), *save} if long else {29, save[11]})
    for number in numbers:
        call, path = made[number]
        with trial(*overrides) as broken:
            ended = broken.run(fault=Calls(broken.directory, act(number)).install)
            fault = f"{told} at call {number}, {call} {path}"
            tally.count(fault, _problem(broken, ended.status, ended.err))
    return tally


def _problem(broken: Trial, status: int, err: str) -> str | None:
    """What is wrong with how it was told, with what is left, and with the run afterwards."""
    if status not in (0, 1, 2):
        return f"ended with {status}: {err}"
    if status and "Traceback" in err:
        return f"it showed a traceback: {err[-300:]}"
    told = err.splitlines()[-1] if err else ""
    if status and not (told.startswith("error: ") and ("/run" in told or "run dir" in told)):
        return f"the path is not told: {err}"
    if status and "/checkpoints/" in told and not re.search(BYTES, err):
        return f"the bytes are not told: {err}"
    for checkpoint in checkpoints_in(broken.directory / "checkpoints"):
        try:
            verify(checkpoint)
        except DataError as damage:
            return str(damage)
    problem = resumed_as_if_nothing_had_happened(broken)
    if "holds a run already (COMPLETED" in str(problem):  # what failed was the last thing it did
        return broken.outcome().differs_from(uninterrupted(*broken.overrides).outcome)
    return problem


def _in_a_small_disk(here: Path, long: bool) -> None:
    """Fill the disk but for so many bytes, run, make space, run again; a line for each."""
    overrides = ("num_epochs=1",)
    for left in range(0, 200_000, 10_000) if long else (20_000,):
        folder = here / str(left)
        folder.mkdir()
        broken = Trial(folder, overrides)
        filler = here / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
            file.truncate(max(0, file.tell() - left))
        # What the test itself writes down goes to another disk.
        with trial() as elsewhere:
            broken.consumed.symlink_to(elsewhere.here / "consumed")
            ended = broken.begin(said=elsewhere.here / "said").ended()
            filler.unlink()
            problem = _problem(broken, ended.status, ended.err)
        print(f"{left}: {' '.join((problem or '').split())}", flush=True)
        shutil.rmtree(folder)


if __name__ == "__main__":
    get_ready()
    _in_a_small_disk(Path(sys.argv[1]), "long" in sys.argv[2:])
