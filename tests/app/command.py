"""The command ``legoloop.run``: in this process, which takes a second, and in one of its own."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copy

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

import legoloop
import legoloop.app.hydra_bridge
from legoloop import run
from tests import fork_server

BRICKS = Path(__file__).parent / "bricks_of_a_user.py"
SMALL = ("data=xor", "model=logistic", "num_epochs=1", "epoch_size=64", "eval_samples=64")
"""Trains in a moment; with ``loggers=[]`` in less."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Command:
    """Runs the command in this process, in ``here``, and puts back what Hydra changes for good."""

    here: Path
    monkeypatch: pytest.MonkeyPatch
    capfd: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Ended:
        with self.monkeypatch.context() as patch, logging_as_it_was():
            patch.chdir(self.here)
            patch.delenv("LEGOLOOP_DATA", raising=False)
            patch.setenv("HYDRA_FULL_ERROR", "1")
            patch.setattr(sys, "argv", ["legoloop-run", *arguments])
            self.capfd.readouterr()
            status = status_of_main()
        return Ended(status, *self.capfd.readouterr())

    def directory(self) -> Path:
        """The directory of the only run so far."""
        (directory,) = (self.here / "outputs").glob("*/*")
        return directory

    def files(self) -> list[str]:
        """Everything in the working directory."""
        return sorted(str(path.relative_to(self.here)) for path in self.here.rglob("*"))


def beside_bricks_of_a_user(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """The command in an empty folder, with the bricks of a user found as the package ``mine``."""
    package, here = place / "package", place / "here"
    package.mkdir()
    here.mkdir()
    copy(BRICKS, package / "mine.py")
    monkeypatch.syspath_prepend(package)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return Command(here, monkeypatch, capfd)


@contextmanager
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers[:], root.level = handlers, level


def status_of_main() -> int:
    try:
        run.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None
    return 0


def environment(**changes: str) -> dict[str, str]:
    """That of this process, in which the package under test is found from any folder."""
    # Some entries of an editable install are no paths.
    found = filter(os.path.isabs, sys.path)
    path = os.pathsep.join([str(Path(legoloop.__file__).parent.parent), *found])
    kept = {name: value for name, value in os.environ.items() if name != "LEGOLOOP_DATA"}
    return {**kept, "PYTHONPATH": path, "PYTHONWARNINGS": "", **changes}


def in_a_process(here: Path, *arguments: str, fresh: bool = False, **changes: str) -> Ended:
    """The command in a process of its own; a ``fresh`` one imports everything itself."""
    words, env = ["-m", "legoloop.run", *arguments], environment(**changes)
    if fresh:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=here,
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
        )
    else:
        done = fork_server.run(words, cwd=here, env=env)
    return Ended(done.returncode, done.stdout, done.stderr)
