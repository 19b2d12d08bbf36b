"""Runs of the fixture: in forked processes, which are quick to start, and by the real command."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import logging
import os
import pkgutil
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import count
from pathlib import Path
from tempfile import mkdtemp

import legoloop
from tests.app.command import environment
from tests.faults.outcomes import Outcome

PROJECT = Path(__file__).parent / "project"
EVERY = 7
"""Steps between two checkpoints of the fixture."""
STEPS = 64

Fault = Callable[[], object]

_running: set[int] = set()
"""The attempts that have not ended; any other child of this process outlived its own."""


def get_ready() -> None:
    """Import what a run imports, once: each trial is a fork of this process.

    Whatever outlives a run becomes a child of this process, where it is found.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in ("LEGOLOOP_DATA", "PYTHONWARNINGS"):
        os.environ.pop(name, None)
    sys.path.insert(0, str(PROJECT))
    import torch

    torch.set_num_threads(1)
    for name in (*PRELOADED, *_modules_of_legoloop()):
        importlib.import_module(name)
    # What is told in this process is of no interest; of the trials, what they say.
    logging.getLogger("legoloop").addHandler(logging.NullHandler())
    # Workers look every so many seconds whether the run is still there.
    torch.utils.data._utils.worker.MP_STATUS_CHECK_INTERVAL = LOOKS_FOR_ITS_PARENT
    gc.freeze()  # what is looked at for garbage would be copied
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _modules_of_legoloop() -> list[str]:
    found = pkgutil.walk_packages(legoloop.__path__, "legoloop.")
    return [module.name for module in found if not module.name.endswith("__main__")]


LOOKS_FOR_ITS_PARENT = 0.2
PR_SET_CHILD_SUBREAPER = 36
PRELOADED = (
    "antlr4.LL1Analyzer",
    "faulted",
    "filelock",
    "hydra._internal.config_loader_impl",
    "hydra._internal.core_plugins.bash_completion",
    "hydra._internal.core_plugins.basic_launcher",
    "hydra._internal.core_plugins.basic_sweeper",
    "hydra._internal.core_plugins.file_config_source",
    "hydra._internal.core_plugins.fish_completion",
    "hydra._internal.core_plugins.importlib_resources_config_source",
    "hydra._internal.core_plugins.structured_config_source",
    "hydra._internal.core_plugins.zsh_completion",
    "hydra._internal.logging_config",
    "omegaconf._impl",
    "polars",
    "tensorboard.plugins.hparams.metadata",
    "torch.utils.serialization.config",
    "torch.utils.tensorboard.summary",
    "typeguard",
)


_numbers = count()


@dataclass(frozen=True)
class Ended:
    """How an attempt ended; a signal that killed it is a negative status, as ``subprocess`` has it.

    ``left`` are the processes that outlived it.
    """

    status: int
    out: str
    err: str
    left: Sequence[int] = ()


@dataclass
class Attempt:
    """A process that runs the fixture, and what it says."""

    pid: int
    said: Path
    began: float = field(default_factory=time.monotonic)

    def ended(self, within: float = 60.0) -> Ended:
        """Wait for it; one that takes too long is killed, and fails the trial."""
        give_up = time.monotonic() + within
        while (status := self._status()) is None:
            if time.monotonic() > give_up:
                os.killpg(self.pid, signal.SIGKILL)
            time.sleep(0.002)
        return Ended(status, self._read("out"), self._read("err"), outlived())

    def kill_after(self, seconds: float, number: int = signal.SIGKILL) -> Ended:
        """Send it a signal at this moment of its life, unless it has ended by then."""
        while time.monotonic() < self.began + seconds:
            if (status := self._status()) is not None:
                return Ended(status, self._read("out"), self._read("err"), outlived())
            time.sleep(0.001)
        os.kill(self.pid, number)
        return self.ended()

    def _status(self) -> int | None:
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        _running.discard(pid)
        return os.waitstatus_to_exitcode(status)

    def _read(self, stream: str) -> str:
        file = self.said.with_suffix(f".{stream}")
        return file.read_text() if file.exists() else ""  # killed before it could say anything


@dataclass(frozen=True)
class Trial:
    """A folder with one run in it, in as many attempts as it takes."""

    here: Path
    overrides: Sequence[str] = ()

    @property
    def directory(self) -> Path:
        """The run directory."""
        return self.here / "run"

    @property
    def consumed(self) -> Path:
        """What the user's plugin wrote down."""
        return self.here / "run.consumed"

    def words(self, *more: str) -> list[str]:
        """The command line after ``python -m legoloop.run``."""
        conf = str(PROJECT / "conf")
        where = [] if "-m" in (*self.overrides, *more) else ["hydra.run.dir=run"]
        return ["--config-dir", conf, "experiment=faults", *where, *self.overrides, *more]

    def begin(self, *more: str, fault: Fault | None = None, said: Path | None = None) -> Attempt:
        """Start an attempt in a fork of this process; ``fault`` is done to it at its beginning."""
        return in_a_fork(self.here, partial(_command, self.words(*more), fault), said)

    def run(self, *more: str, fault: Fault | None = None) -> Ended:
        """The same, to its end."""
        return self.begin(*more, fault=fault).ended()

    def command(self, *more: str) -> subprocess.Popen[str]:
        """The real command, in a process of its own from the first instruction on."""
        path = os.pathsep.join([environment()["PYTHONPATH"], str(PROJECT)])
        process = subprocess.Popen(
            [sys.executable, "-m", "legoloop.run", *self.words(*more)],
            cwd=self.here,
            env=environment(PYTHONPATH=path, OMP_NUM_THREADS="1"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        _running.add(process.pid)
        return process

    def outcome(self) -> Outcome:
        """What is left of it, to be compared."""
        return Outcome.of(self.directory, self.consumed)

    def steps_consumed(self) -> list[int]:
        """The steps as they were made, those that were made again too."""
        if not self.consumed.exists():
            return []
        return [json.loads(line)["step"] for line in self.consumed.read_text().splitlines()]


def in_a_fork(here: Path, command: Callable[[], object], said: Path | None = None) -> Attempt:
    """Start a fork of this process that is a command in this folder; ``said`` takes its output."""
    said = said or here / f"said{next(_numbers)}"
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _be(command, here, said)
    _running.add(pid)
    return Attempt(pid, said)


@contextlib.contextmanager
def trial(*overrides: str) -> Iterator[Trial]:
    """A trial in an empty folder."""
    # Not a TemporaryDirectory: each forked process would remove it at its end.
    here = Path(mkdtemp(prefix="faults-"))
    try:
        yield Trial(here, overrides)
    finally:
        shutil.rmtree(here)


@dataclass(frozen=True)
class Uninterrupted:
    """What a run leaves that nothing happens to, and how long it takes."""

    outcome: Outcome
    seconds: float


@cache
def uninterrupted(*overrides: str) -> Uninterrupted:
    """The run to compare with."""
    with trial(*overrides) as whole:
        whole.run("num_epochs=0", "hydra.run.dir=warm")  # what is slow once only
        began = time.monotonic()
        ended = whole.run()
        seconds = time.monotonic() - began
        assert (ended.status, ended.left) == (0, []), ended
        return Uninterrupted(whole.outcome(), seconds)


def resumed_as_if_nothing_had_happened(broken: Trial) -> str | None:
    """Start the run again, to its end; None if it is what it would have been, else what is not."""
    ended = broken.run()
    if ended.status != 0:
        return f"resuming ended with {ended.status}: {ended.err.strip()[-300:]}"
    return broken.outcome().differs_from(uninterrupted(*broken.overrides).outcome)


def outlived(patience: float = 0.0) -> list[int]:
    """The processes that outlive the attempt that began them, after so many seconds."""
    give_up = time.monotonic() + patience
    while (left := _children()) and time.monotonic() < give_up:
        time.sleep(0.02)
    return left


def _children() -> list[int]:
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    orphans = {int(pid) for pid in found} - _running
    return [pid for pid in sorted(orphans) if os.waitpid(pid, os.WNOHANG)[0] == 0]


def _be(command: Callable[[], object], here: Path, said: Path) -> None:
    """What the interpreter does with a module's ``main``; does not return."""
    status = 70
    try:
        os.setpgid(0, 0)
        os.chdir(here)
        for number, stream in ((1, "out"), (2, "err")):
            os.dup2(os.open(said.with_suffix(f".{stream}"), os.O_WRONLY | os.O_CREAT), number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        status = _status_of(command)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
    finally:
        os._exit(status)


def _command(words: list[str], fault: Fault | None) -> None:
    from legoloop.run import main

    sys.argv = ["legoloop-run", *words]
    if fault is not None:
        fault()
    main()


def _status_of(command: Callable[[], object]) -> int:
    try:
        command()
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
