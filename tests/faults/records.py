"""Run directories that are damaged or hostile, and what reads them."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

from legoloop.core.errors import ConfigError
from legoloop.state.directory_lock import DirectoryLock, is_locked
from legoloop.state.run_record import read_record
from tests.app.command import SMALL
from tests.faults.tally import Tally
from tests.faults.trials import Ended, in_a_fork
from tests.results.damaged_runs import damage

GIB = 2**30
PATIENCE = 60.0
"""Seconds that a command may take; one that hangs takes all of them."""


def damaged_records(long: bool) -> Tally:
    """Directories that are damaged at random, through what reads directories of others."""
    tally = Tally()
    with _folder() as here:
        assert _run(here, *SMALL, "loggers=[csv]", "hydra.run.dir=whole").status == 0
        shutil.rmtree(here / "whole" / "checkpoints")
        for seed in range(320 if long else 2):
            draw = random.Random(seed)
            bad = here / "runs" / "bad"
            shutil.copytree(here / "whole", here / "runs" / "whole")
            shutil.copytree(here / "whole", bad)
            told = f"{seed}: {damage(bad, draw)}"
            for name, (main, words) in _readers(draw).items():
                tally.count(f"{name} of {told}", _problem(_ended(here, main, words)))
            shutil.rmtree(here / "runs")
    return tally


def damaged_sweep(long: bool) -> Tally:
    """One job of a sweep, damaged at random, and the same command again."""
    tally = Tally()
    sweep = ("-m", *SMALL, "num_epochs=0", "loggers=[]", "plugins=[default]", "seed=0,1,2")
    with _folder() as here:
        assert _run(here, *sweep, "hydra.sweep.dir=whole").status == 0
        for seed in range(50 if long else 1):
            draw = random.Random(seed)
            shutil.copytree(here / "whole", here / "sweep")
            told = f"{seed}: {damage(here / 'sweep' / '0', draw)}"
            shutil.rmtree(here / "sweep" / "2")
            ended = _run(here, *sweep, "hydra.sweep.dir=sweep")
            problem = _problem(ended, longest=12)
            if problem is None and _status(here / "sweep" / "2") != "COMPLETED":
                problem = f"the other job was not run: {ended.err[-300:]}"
            tally.count(told, problem)
            shutil.rmtree(here / "sweep")
    return tally


def started_while_looked_at(long: bool) -> Tally:
    """A directory that is locked and released while others look at it without a pause."""
    tally = Tally()
    with _folder() as here:
        DirectoryLock(here, "run").release()
        lookers = [in_a_fork(here, partial(_look, here)) for _ in range(2)]
        for number in range(20_000 if long else 500):
            problem = None
            try:
                DirectoryLock(here, "run").release()
            except ConfigError as error:
                problem = str(error)
            tally.count(f"start {number}", problem)
        for looker in lookers:
            looker.kill_after(0.0)
    return tally


def output_that_fails(long: bool) -> Tally:
    """A standard output that is closed, full, or read by nobody; the run completes."""
    tally = Tally()
    for name, put in OUTPUTS.items():
        sweep = ("-m", *SMALL, "seed=0,1", "hydra.sweep.dir=.")
        for words in ((*SMALL, "hydra.run.dir=0"), sweep):
            with _folder() as here:
                ended = _run(here, *words, "num_epochs=3", before=put)
                problem = None if ended.status == 0 else f"ended with {ended.status}: {ended.err}"
                if problem is None and _status(here / "0") != "COMPLETED":
                    problem = f"it is recorded as {_status(here / '0')}"
                tally.count(f"{name}, {words[0]}", problem or _problem(ended))
    return tally


def workers_in_jobs(long: bool) -> Tally:
    """Jobs of a sweep whose data come from worker processes; all of them complete."""
    tally = Tally()
    for launcher in ("basic", "processes"):
        for workers in (1, 2, 3) if long else (1,):
            sweep = (f"hydra/launcher={launcher}", "seed=0,1", "num_epochs=1", "hydra.sweep.dir=.")
            served = f"+data.loaders.train.num_workers={workers}"
            with _folder() as here:
                ended = _run(here, "-m", *SMALL, *sweep, served)
                problem = None if ended.status == 0 else f"ended with {ended.status}: {ended.err}"
                for job in ("0", "1"):
                    if problem is None and _status(here / job) != "COMPLETED":
                        problem = f"job {job} is recorded as {_status(here / job)}"
                tally.count(f"{launcher}, {workers} workers", problem)
    return tally


OF_ANOTHER_MODE = (
    ("hydra.sweep.dir=x",),
    ("hydra.sweep.subdir=x",),
    ("hydra/launcher=processes",),
    ("hydra/sweeper=basic",),
    ("sweep.on_failure=stop",),
    ("run_dir=x",),
    ("hydra.runtime.cwd=x",),
    ("-m", "seed=0,1", "hydra.run.dir=x"),
    ("-m", "seed=0,1", "run_dir=x"),
)
"""Settings that would have no effect in the run, or sweep, that they are given to."""


def settings_without_effect(long: bool) -> Tally:
    """Each is refused in a few lines, and nothing is made."""
    tally = Tally()
    for words in OF_ANOTHER_MODE if long else OF_ANOTHER_MODE[::3]:
        with _folder() as here:
            ended = _run(here, *SMALL, *words)
            made = [path.name for path in here.iterdir() if not path.name.startswith("said")]
            problem = None if ended.status == 2 else f"ended with {ended.status}: {ended.err}"
            problem = problem or (f"made {', '.join(made)}" if made else None)
            tally.count(" ".join(words), problem or _problem(ended))
    return tally


def shared_memory_that_is_full(long: bool) -> Tally:
    """``/dev/shm`` without room for the workers, or for a batch; skipped where none is mounted."""
    tally = Tally()
    for size in (0, 64 * 1024):
        with _folder() as here:
            words = ("data=digits", "num_epochs=1", "data.loaders.default.num_workers=2")
            ended = _run(here, *words, "hydra.run.dir=0", before=lambda s=size: _small_shm(s))
            if ended.status == NOT_MOUNTED:
                break
            is_told = ended.status == 1 and "no room in shared memory" in ended.err
            problem = None if is_told else f"ended with {ended.status}: {ended.err[-300:]}"
            if "the run directory" in ended.err:
                problem = "the run directory is blamed"
            tally.count(f"{size} bytes of /dev/shm", problem)
    return tally


NOT_MOUNTED = 71


def _closed() -> None:
    os.close(1)
    sys.stdout = None  # type: ignore[assignment]


def _full() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, 1)
    sys.stdout = os.fdopen(1, "w", closefd=False)


def _unread() -> None:
    ours, theirs = os.pipe()
    os.dup2(theirs, 1)
    os.close(theirs)
    os.close(ours)
    sys.stdout = os.fdopen(1, "w", closefd=False)


OUTPUTS: dict[str, Callable[[], None]] = {"closed": _closed, "full": _full, "unread": _unread}


def _small_shm(size: int) -> None:
    """In a mount namespace of this process."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    clone_newns, rec_private = 0x20000, 0x4000 | 0x40000
    is_ours = libc.unshare(clone_newns) == 0 and not libc.mount(
        b"none", b"/", None, rec_private, None
    )
    options = f"size={size or 4096}".encode()
    if not is_ours or libc.mount(b"none", b"/dev/shm", b"tmpfs", 0, options):
        os._exit(NOT_MOUNTED)
    if size == 0:
        Path("/dev/shm/fill").write_bytes(bytes(4096))


def _look(directory: Path) -> None:
    while True:
        is_locked(directory, "run")


def _readers(draw: random.Random) -> dict[str, tuple[Callable[[], object], Sequence[str]]]:
    """What reads ``runs/bad``, by name: a main function and its arguments."""
    from legoloop.evaluate import main as evaluate
    from legoloop.results.__main__ import main as results
    from legoloop.run import main as run

    form = draw.choice(("table", "csv", "json", "markdown", "latex"))
    return {
        "results": (results, ["runs", "--metric", "*", "--format", form]),
        "--by": (results, ["runs", "--by", "seed", "--sort", "n", "--format", form]),
        "--compare": (results, ["runs", "--compare", "whole", "bad", "--format", form]),
        "evaluate": (evaluate, ["runs/bad", "--output", "runs/evaluated"]),
        "rerun": (run, ["rerun=runs/bad", "hydra.run.dir=runs/again"]),
        "rerun, shown": (run, ["rerun=runs/bad", "show=config"]),
    }


def _problem(ended: Ended, longest: int = 5) -> str | None:
    """Whether a command ended by itself, in a few lines that a terminal only shows."""
    said = ended.out + ended.err
    if ended.status not in (0, 1, 2):
        return f"ended with {ended.status}: {ended.err[-300:]!r}"
    if "Traceback" in said:
        return f"a traceback: {ended.err[-300:]!r}"
    if not all(char.isprintable() or char in "\n\t" for char in said):
        return f"what a terminal obeys: {said[-300:]!r}"
    told = [line for line in ended.err.splitlines() if not line.startswith("metrics: ")]
    return f"{len(told)} lines: {ended.err[:300]!r}" if len(told) > longest else None


def _run(here: Path, *words: str, before: Callable[[], object] | None = None) -> Ended:
    from legoloop.run import main

    return _ended(here, main, words, before)


def _ended(
    here: Path,
    main: Callable[[], object],
    words: Sequence[str],
    before: Callable[[], object] | None = None,
) -> Ended:
    def command() -> None:
        sys.argv = ["legoloop", *words]
        soft = 16 * GIB  # of addresses: what multiplies itself does not take the machine
        resource.setrlimit(resource.RLIMIT_AS, (soft, soft))
        if before is not None:
            before()
        main()

    return in_a_fork(here, command).ended(within=PATIENCE)


def _status(directory: Path) -> str:
    try:
        return str(read_record(directory)["status"])
    except (OSError, ValueError) as error:
        return str(error)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    here = Path(mkdtemp(prefix="faults-"))
    try:
        yield here
    finally:
        shutil.rmtree(here)
