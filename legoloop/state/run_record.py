"""What a run writes down about itself: ``run.json``."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import legoloop
from legoloop.core.atomic_files import atomic_write
from legoloop.core.errors import ConfigError
from legoloop.state.directory_lock import DirectoryLock, is_locked

RECORD = "run.json"
DIFF = "git.diff"
Status = Literal["RUNNING", "COMPLETED", "FAILED", "INTERRUPTED"]
Resume = Literal["auto", "never", "must"]

PACKAGES = ("torch", "numpy", "hydra-core", "omegaconf", "dependency-injector")


class RunRecord:
    """The record of one run, which a process keeps while it has the run directory.

    A run that was resumed has had several ``attempts``, each with its times and its status.

    >>> import tempfile
    >>> record = RunRecord.claim(Path(tempfile.mkdtemp()) / "run", seed=0, overrides=[])
    >>> record.finish("COMPLETED", final={"val/accuracy": 0.5})
    >>> read_record(record.directory)["status"]
    'COMPLETED'
    """

    def __init__(
        self,
        claim: DirectoryLock,
        facts: dict[str, Any],
        before: dict[str, Any] | None,
        code: tuple[dict[str, Any] | None, bytes],
    ) -> None:
        self.directory = claim.directory
        self.before = before
        self._code = code
        self._claim = claim
        self._facts = facts

    @classmethod
    def claim(
        cls, directory: Path, seed: int | None, overrides: Sequence[str], resume: Resume = "never"
    ) -> RunRecord:
        """Make the directory this run's own; nothing is written down yet but for a new run.

        ``before`` is the record of a run that was there and has not completed, None for a new one.
        Raises ConfigError if the directory is another's, holds a run that is not to be resumed, or
        none where one must be.
        """
        refuse(directory, resume)
        code = git_state()  # the directory itself is no difference of the code
        claim = DirectoryLock(directory, "run")
        try:
            before = refuse(directory, resume)  # what another process left, a moment ago
        except ConfigError:
            claim.release()
            raise
        facts = {
            "status": "RUNNING",
            "started": now(),
            "ended": None,
            "overrides": list(overrides),
            "seed": seed,
        }
        record = cls(claim, facts, before, code)
        if before is None:
            record.begin()
        return record

    def begin(self) -> None:
        """Write down how the run, or this attempt at it, begins."""
        git, patch = self._code
        earlier = (self.before or {}).get("attempts", [])
        self._facts.update(
            git=git,
            versions={"python": platform.python_version(), **_versions()},
            hardware=_hardware(),
            attempts=[*earlier, {"started": self._facts["started"], "status": "RUNNING"}],
        )
        if self.before is not None:
            self._facts["started"] = self.before.get("started")
        self._write()
        (self.directory / DIFF).unlink(missing_ok=True)
        if patch:
            (self.directory / DIFF).write_bytes(patch)

    def tell(self, **facts: Any) -> None:
        """Write down more about the run."""
        self._facts.update(facts)
        self._write()

    def resumed_from(self, checkpoint: Path) -> None:
        """Write down where this attempt goes on from."""
        is_own = self.directory in checkpoint.parents
        named = checkpoint.relative_to(self.directory) if is_own else checkpoint
        self._facts["attempts"][-1]["resumed_from"] = str(named)
        self._write()

    def finish(self, status: Status, **facts: Any) -> None:
        """Write down how the run ended, and leave the directory to others."""
        ended = {"status": status, "ended": now()}
        self._facts["attempts"][-1].update(ended)
        self._facts.update(**ended, **facts)
        self._write()
        self.release()

    def release(self) -> None:
        """Leave the directory to others, as it is."""
        self._claim.release()

    def _write(self) -> None:
        write_record(self.directory, self._facts)


def refuse(directory: Path, resume: Resume) -> dict[str, Any] | None:
    """Raises ConfigError if a run in this directory is not to begin; what is there to resume."""
    found = _found(directory)
    if found is not None and (resume == "never" or found.get("status") == "COMPLETED"):
        about = f"{found.get('status')}, started {found.get('started')}"
        raise ConfigError(
            f"hydra.run.dir: {directory} holds a run already ({about}); "
            "choose another directory, or remove that one"
        )
    if found is None and resume == "must":
        raise ConfigError(
            f"resume: is must, but hydra.run.dir, {directory}, holds no run to resume; "
            "name the directory of one"
        )
    return found


def mark_failed_if_abandoned(
    directory: Path, cause: str, overrides: Sequence[str] | None = None
) -> None:
    """Record a run as failed whose process died before it could; leave any other as it is.

    One that died before it wrote a record gets one if its ``overrides`` are given.
    """
    if is_locked(directory, "run"):
        return
    try:
        facts = read_record(directory)
    except FileNotFoundError:
        if overrides is not None:
            RunRecord.claim(directory, None, overrides).finish("FAILED", cause=cause)
        return
    if facts["status"] == "RUNNING":
        ended = {"status": "FAILED", "ended": now()}
        facts["attempts"][-1].update(ended)
        write_record(directory, {**facts, **ended, "cause": cause})


def write_record(directory: Path, facts: dict[str, Any]) -> None:
    """Write ``run.json``, whole."""
    with atomic_write(directory / RECORD) as draft:
        draft.write_text(json.dumps(facts, indent=2) + "\n")


def read_record(directory: Path) -> dict[str, Any]:
    """The record of a run directory."""
    facts: dict[str, Any] = json.loads((directory / RECORD).read_text())
    return facts


def _found(directory: Path) -> dict[str, Any] | None:
    try:
        return read_record(directory)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"hydra.run.dir: {directory / RECORD} cannot be read ({error}); choose another"
        ) from None


def now() -> str:
    """The time, with its zone, to the millisecond."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def _versions() -> Mapping[str, str]:
    from importlib.metadata import version

    return {"legoloop": legoloop.__version__, **{name: version(name) for name in PACKAGES}}


def git_state() -> tuple[dict[str, Any] | None, bytes]:
    """The commit of the project that the command runs in, and what differs from it, as a patch.

    A project with files that git does not know is dirty too, though they are not in the patch.
    """
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
