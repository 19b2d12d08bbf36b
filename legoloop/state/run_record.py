"""What a run writes down about itself: ``run.json``."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import legoloop
from legoloop.core.whole_files import whole_file
from legoloop.state.claims import claim_directory

RECORD = "run.json"
DIFF = "git.diff"
Status = Literal["RUNNING", "COMPLETED", "FAILED", "INTERRUPTED"]

PACKAGES = ("torch", "numpy", "hydra-core", "omegaconf", "dependency-injector")


class RunRecord:
    """The record of one run; making it claims the run directory.

    Raises ConfigError if the directory holds a run already, or cannot be made.

    >>> import tempfile
    >>> record = RunRecord.claim(Path(tempfile.mkdtemp()) / "run", seed=0, overrides=[])
    >>> record.finish("COMPLETED", final={"val/accuracy": 0.5})
    >>> read_record(record.directory)["status"]
    'COMPLETED'
    """

    def __init__(self, directory: Path, facts: dict[str, Any]) -> None:
        self.directory = directory
        self._facts = facts

    @classmethod
    def claim(cls, directory: Path, seed: int | None, overrides: Sequence[str]) -> RunRecord:
        """Make the directory this run's own and write down how the run begins."""
        git, patch = _git_state()
        facts = {
            "status": "RUNNING",
            "started": now(),
            "ended": None,
            "overrides": list(overrides),
            "seed": seed,
            "git": git,
            "versions": {"python": platform.python_version(), **_versions()},
            "hardware": _hardware(),
        }
        claim_directory(directory, "run")
        record = cls(directory, facts)
        record._write()
        if patch:
            (directory / DIFF).write_bytes(patch)
        return record

    def finish(self, status: Status, **facts: Any) -> None:
        """Write down how the run ended."""
        self._facts.update(status=status, ended=now(), **facts)
        self._write()

    def _write(self) -> None:
        with whole_file(self.directory / RECORD) as draft:
            draft.write_text(json.dumps(self._facts, indent=2) + "\n")


def read_record(directory: Path) -> dict[str, Any]:
    """The record of a run directory."""
    facts: dict[str, Any] = json.loads((directory / RECORD).read_text())
    return facts


def now() -> str:
    """The time, with its zone, to the millisecond."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def _versions() -> Mapping[str, str]:
    return {"legoloop": legoloop.__version__, **{name: version(name) for name in PACKAGES}}


def _git_state() -> tuple[dict[str, Any] | None, bytes]:
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
