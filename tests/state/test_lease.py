"""A claim that other machines see: ENGINES B1, claude-swap#374 (locks that exclude nobody)."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from legoloop.core.errors import ConfigError
from legoloop.core.run_directory import lease_name
from legoloop.state import lease
from legoloop.state.directory_lock import DirectoryLock, is_locked
from legoloop.state.lease import Lease, leased


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.05)
    monkeypatch.setattr(lease, "EXPIRY", 0.4)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, this is another machine, where the locks of the first exclude nobody."""
    return lambda: monkeypatch.setattr(lease, "node", lambda: "elsewhere")


def lease_of(directory: Path) -> Path:
    return directory / lease_name("run")


def claimed_without_lock(directory: Path) -> Lease:
    """As another machine claims it, whose lock is not seen here."""
    directory.mkdir(exist_ok=True)
    return Lease(lease_of(directory))


def test_only_what_is_leased_has_a_lease(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path, "run")
    assert not lease_of(tmp_path).exists()
    lock.release()
    with leased():
        lock = DirectoryLock(tmp_path, "run")
    assert json.loads(lease_of(tmp_path).read_text())["pid"] == os.getpid()
    lock.release()
    assert not lease_of(tmp_path).exists()


def test_another_machine_that_lives_is_not_disturbed(
    tmp_path: Path, elsewhere: Callable[[], None]
) -> None:
    claim = claimed_without_lock(tmp_path)
    elsewhere()
    assert is_locked(tmp_path, "run")
    with pytest.raises(ConfigError, match=r"in use by a run that has not ended, process \d+ of "):
        DirectoryLock(tmp_path, "run")
    claim.release()
    assert not is_locked(tmp_path, "run")
    DirectoryLock(tmp_path, "run").release()


def test_of_a_machine_that_died_it_is_taken_over(
    tmp_path: Path, elsewhere: Callable[[], None]
) -> None:
    lease_of(tmp_path).write_text(json.dumps({"owner": "dead", "host": "dead", "pid": 1}))
    elsewhere()
    assert is_locked(tmp_path, "run"), "one look cannot tell"
    began = time.monotonic()
    with leased():
        lock = DirectoryLock(tmp_path, "run")
    assert time.monotonic() - began > 0.2, "it was watched"
    assert json.loads(lease_of(tmp_path).read_text())["host"] == "elsewhere"
    lock.release()


def test_one_that_is_long_dead_costs_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "EXPIRY", 600.0)
    lease_of(tmp_path).write_text(json.dumps({"owner": "dead", "host": "dead", "pid": 1}))
    os.utime(lease_of(tmp_path), (1e9, 1e9))
    assert not is_locked(tmp_path, "run")
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("waited"))
    DirectoryLock(tmp_path, "run").release()
    assert not lease_of(tmp_path).exists()


def test_on_this_machine_the_lock_knows(tmp_path: Path) -> None:
    claim = claimed_without_lock(tmp_path)
    assert not is_locked(tmp_path, "run")
    claim.release()


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"owner": 1, "host": "a", "pid": "b"}'])
def test_a_damaged_one_is_nobody_s(content: str, tmp_path: Path) -> None:
    lease_of(tmp_path).write_text(content)
    assert not is_locked(tmp_path, "run")
    DirectoryLock(tmp_path, "run").release()


def test_who_was_stopped_for_too_long_gives_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: list[Path] = []
    monkeypatch.setattr(lease, "_give_way", gone.append)
    claim = claimed_without_lock(tmp_path)
    lease_of(tmp_path).write_text(json.dumps({"owner": "other", "host": "other", "pid": 1}))
    give_up = time.monotonic() + 10
    while not gone and time.monotonic() < give_up:
        time.sleep(0.01)
    claim.release()
    assert set(gone) == {lease_of(tmp_path)}
    assert lease_of(tmp_path).exists(), "what is another's stays"
