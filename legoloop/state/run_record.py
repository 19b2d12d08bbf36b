"""The record of a run, ``run.json``: status, times, seed, versions, attempts."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import legoloop
from legoloop.core.atomic_files import atomic_write
from legoloop.core.errors import ConfigError
from legoloop.core.run_directory import GIT_DIFF, RUN_RECORD
from legoloop.state.directory_lock import DirectoryLock, is_locked

GitState = tuple[dict[str, Any] | None, bytes]
"""The commit and whether it is dirty, None outside of a project; and the patch."""
Status = Literal["RUNNING", "COMPLETED", "FAILED", "INTERRUPTED"]
Resume = Literal["auto", "never", "must"]

_git_states: ContextVar[list[GitState] | None] = ContextVar("git_states", default=None)

PACKAGES = ("torch", "numpy", "hydra-core", "omegaconf", "dependency-injector")


class RunRecord:
    """The record of one run, which a process keeps while it has the run directory.

    A run that was resumed has had several ``attempts``, each with its times and its status.

    >>> import tempfile
    >>> record = RunRecord.start(Path(tempfile.mkdtemp()) / "run", seed=0, overrides=[])
    >>> record.finish("COMPLETED", final={"val/accuracy": 0.5})
    >>> read_record(record.directory)["status"]
    'COMPLETED'
    """

    def __init__(
        self,
        lock: DirectoryLock,
        facts: dict[str, Any],
        previous: dict[str, Any] | None,
        code: tuple[dict[str, Any] | None, bytes],
    ) -> None:
        self.directory = lock.directory
        self.previous = previous
        self._code = code
        self._lock = lock
        self._facts = facts

    @classmethod
    def start(
        cls, directory: Path, seed: int | None, overrides: Sequence[str], resume: Resume = "never"
    ) -> RunRecord:
        """Lock the directory for this run; only a new run is recorded at once.

        ``previous`` is the record of a run that was there and has not completed; None: there is
        none.
        Raises ConfigError if another process has the directory, if it holds a run that is not to be
        resumed, or none where one must be.
        """
        check_startable(directory, resume)
        code = git_state()  # the directory itself is no difference of the code
        lock = DirectoryLock(directory, "run")
        try:
            previous = check_startable(directory, resume)  # what another process left, a moment ago
        except ConfigError:
            lock.release()
            raise
        facts = {
            "status": "RUNNING",
            "started": timestamp(),
            "ended": None,
            "overrides": list(overrides),
            "seed": seed,
        }
        record = cls(lock, facts, previous, code)
        if previous is None:
            record.begin_attempt()
        return record

    def begin_attempt(self) -> None:
        """Record how the run, or this attempt at it, begins."""
        git, patch = self._code
        earlier = (self.previous or {}).get("attempts", [])
        self._facts.update(
            git=git,
            versions={"python": platform.python_version(), **_versions()},
            hardware=_hardware(),
            attempts=[*earlier, {"started": self._facts["started"], "status": "RUNNING"}],
        )
        if self.previous is not None:
            self._facts["started"] = self.previous.get("started")
        self._write()
        (self.directory / GIT_DIFF).unlink(missing_ok=True)
        if patch:
            (self.directory / GIT_DIFF).write_bytes(patch)

    def update(self, **facts: Any) -> None:
        """Record more about the run."""
        self._facts.update(facts)
        self._write()

    def resumed_from(self, checkpoint: Path) -> None:
        """Record the checkpoint that this attempt resumes from."""
        is_own = self.directory in checkpoint.parents
        named = checkpoint.relative_to(self.directory) if is_own else checkpoint
        self._facts["attempts"][-1]["resumed_from"] = str(named)
        self._write()

    def finish(self, status: Status, **facts: Any) -> None:
        """Record how the run ended, and release the directory."""
        ended = {"status": status, "ended": timestamp()}
        self._facts["attempts"][-1].update(ended)
        self._facts.update(**ended, **facts)
        self._write()
        self.release()

    def release(self) -> None:
        """Release the directory; the record stays as it is."""
        self._lock.release()

    def _write(self) -> None:
        write_record(self.directory, self._facts)


def check_startable(directory: Path, resume: Resume) -> dict[str, Any] | None:
    """The record of the run that is there to resume, None if there is none.

    Raises ConfigError if no run may start in this directory: it holds one that is completed or not
    to be resumed, or none where one must be.
    """
    found = _found(directory)
    if found is not None and (resume == "never" or found.get("status") == "COMPLETED"):
        about = f"{found.get('status')}, started {found.get('started')}"
        raise ConfigError(
            f"{directory} holds a run already ({about})",
            key="hydra.run.dir",
            remedy="choose another directory, or remove that one",
        )
    if found is None and resume == "must":
        raise ConfigError(
            f"is must, but hydra.run.dir, {directory}, holds no run to resume",
            key="resume",
            remedy="name the directory of one",
        )
    return found


def mark_failed_if_abandoned(
    directory: Path, cause: str, overrides: Sequence[str] | None = None
) -> None:
    """Record a run as failed if its process died before it could; any other stays as it is.

    One that died before it wrote a record gets one if its ``overrides`` are given.
    """
    if is_locked(directory, "run"):
        return
    try:
        facts = read_record(directory)
    except FileNotFoundError:
        if overrides is not None:
            RunRecord.start(directory, None, overrides).finish("FAILED", cause=cause)
        return
    if facts["status"] == "RUNNING":
        ended = {"status": "FAILED", "ended": timestamp()}
        facts["attempts"][-1].update(ended)
        write_record(directory, {**facts, **ended, "cause": cause})


def write_record(directory: Path, facts: dict[str, Any]) -> None:
    """Write ``run.json``, whole."""
    with atomic_write(directory / RUN_RECORD) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n")


def read_record(directory: Path) -> dict[str, Any]:
    """The record of a run directory."""
    facts: dict[str, Any] = json.loads((directory / RUN_RECORD).read_text())
    return facts


def _found(directory: Path) -> dict[str, Any] | None:
    try:
        return read_record(directory)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{directory / RUN_RECORD} cannot be read ({error})",
            key="hydra.run.dir",
            remedy="choose another",
        ) from None


def timestamp() -> str:
    """The time, with its zone, to the millisecond."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


@lru_cache(maxsize=1)
def _versions() -> Mapping[str, str]:
    from importlib.metadata import version

    return {"legoloop": legoloop.__version__, **{name: version(name) for name in PACKAGES}}


@contextmanager
def one_git_state() -> Iterator[None]:
    """While inside, git is asked once, for all jobs of a sweep that run in this process.

    They run the code that was imported; what their sweep writes meanwhile is no difference of it.

    >>> with one_git_state():
    ...     git_state() is git_state()
    True
    """
    token = _git_states.set([])
    try:
        yield
    finally:
        _git_states.reset(token)


def git_state() -> GitState:
    """The commit of the project that the command runs in, and what differs from it, as a patch.

    A project with files that git does not know is dirty too, though they are not in the patch.
    """
    known = _git_states.get()
    if known is None:
        return _ask_git()
    if not known:
        known.append(_ask_git())
    return known[0]


def _ask_git() -> GitState:
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return None, b""
    dirty = bool(_git("status", "--porcelain"))
    patch = _git("diff", "--no-ext-diff", "--no-color", "--binary", "HEAD") or b""
    return {"commit": commit.decode().strip(), "dirty": dirty}, patch


def _git(*words: str) -> bytes | None:
    try:
        done = subprocess.run(["git", *words], capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _hardware() -> dict[str, Any]:
    import torch

    return {
        "machine": platform.platform(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())],
    }
