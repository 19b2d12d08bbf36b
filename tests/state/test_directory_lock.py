from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from legoloop.core.errors import ConfigError
from legoloop.state.directory_lock import DirectoryLock, is_locked
from tests.app.command import environment

HOLDS = """
import os, sys, time
from pathlib import Path
from legoloop.state.directory_lock import DirectoryLock
claim = DirectoryLock(Path(sys.argv[1]), "run")
if "forks" in sys.argv:
    if os.fork() == 0:
        time.sleep(60)
print("has it", flush=True)
time.sleep(60)
"""


def test_of_many_that_try_one_wins(tmp_path: Path) -> None:
    won: list[DirectoryLock] = []
    lost: list[str] = []

    def claimed(_: int) -> None:
        try:
            won.append(DirectoryLock(tmp_path / "run", "run"))
        except ConfigError as error:
            lost.append(str(error))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(claimed, range(20)))
    assert len(won) == 1
    assert all("is in use by a run that has not ended" in message for message in lost)
    won[0].release()


def test_a_run_in_a_sweep_has_its_own_claim(tmp_path: Path) -> None:
    sweep, run = DirectoryLock(tmp_path, "sweep"), DirectoryLock(tmp_path, "run")
    sweep.release()
    assert is_locked(tmp_path, "run")
    run.release()


def test_what_was_released_can_be_had_again(tmp_path: Path) -> None:
    DirectoryLock(tmp_path, "run").release()
    DirectoryLock(tmp_path, "run").release()


@pytest.mark.parametrize("forks", [False, True])
def test_the_claim_of_a_killed_process_is_gone(tmp_path: Path, forks: bool) -> None:
    arguments = [str(tmp_path), *(["forks"] if forks else [])]
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, *arguments],
        stdout=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"has it\n"
        assert is_locked(tmp_path, "run")
        with pytest.raises(ConfigError, match="is in use"):
            DirectoryLock(tmp_path, "run")
        holder.kill()
        holder.wait()
        give_up = time.monotonic() + 20  # the child lets go in its first moment
        while is_locked(tmp_path, "run") and time.monotonic() < give_up:
            time.sleep(0.01)
        assert not is_locked(tmp_path, "run"), "a child that lives on holds nothing"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(holder.pid, 9)
        holder.stdout.close()


def test_whoever_looks_disturbs_nobody(tmp_path: Path) -> None:
    """Neither one that looks all the time nor one that does not get on refuses a start."""
    is_over = threading.Event()
    looks = 0

    def look() -> None:
        nonlocal looks
        while not is_over.is_set():
            is_locked(tmp_path, "run")
            looks += 1

    DirectoryLock(tmp_path, "run").release()
    with ThreadPoolExecutor(2) as pool:
        lookers = [pool.submit(look) for _ in range(2)]
        try:
            for _ in range(500):
                DirectoryLock(tmp_path, "run").release()
        finally:
            is_over.set()
    assert [looker.result() for looker in lookers] == [None, None]
    assert looks > 0


def test_a_look_that_takes_long_is_waited_for(tmp_path: Path) -> None:
    DirectoryLock(tmp_path, "run").release()
    with (tmp_path / ".run.lock").open() as looker:
        fcntl.flock(looker, fcntl.LOCK_SH)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(DirectoryLock, tmp_path, "run")
            time.sleep(0.05)
            assert not waiting.done()
            assert not is_locked(tmp_path, "run")
            fcntl.flock(looker, fcntl.LOCK_UN)
            waiting.result().release()


def test_looking_needs_no_right_to_write(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path, "run")
    (tmp_path / ".run.lock").chmod(0o444)
    opened: list[int] = []
    real = os.open
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", lambda path, flags, *m: opened.append(flags) or real(path, flags))
        assert is_locked(tmp_path, "run")
    assert [flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT) for flags in opened] == [0]
    lock.release()


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_lies_in_the_place_of_the_lock_is_no_lock(tmp_path: Path, make: Any) -> None:
    make(tmp_path / ".run.lock")
    assert not is_locked(tmp_path, "run")


def test_what_is_no_directory_cannot_be_made_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/run cannot be made \(Not a directory\)"):
        DirectoryLock(tmp_path / "file" / "run", "run")
