"""The record of a run, ``run.json``: status, times, seed, versions, attempts."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import legoloop
from legoloop.core.atomic_files import atomic_write
from legoloop.core.errors import ConfigError, DataError
from legoloop.core.record_files import check_tree, first_line, parse_json, read_bytes
from legoloop.core.run_directory import GIT_DIFF, HYDRA, LOG, RUN_RECORD
from legoloop.state.directory_lock import DirectoryLock, is_locked

GitState = tuple[dict[str, Any] | None, bytes]
"""The commit and whether it is dirty, None outside of a project; and the patch."""
Status = Literal["RUNNING", "COMPLETED", "PRUNED", "FAILED", "INTERRUPTED"]
Resume = Literal["auto", "never", "must"]

_git_states: ContextVar[list[GitState] | None] = ContextVar("git_states", default=None)

DONE = ("COMPLETED", "PRUNED")
"""The statuses of a run that has nothing left to do."""

PACKAGES = ("torch", "numpy", "hydra-core", "omegaconf", "dependency-injector")

LABELS = ("name", "tags", "notes")
"""What a person calls a run, as far as it was given."""

RAN_WITH = (
    *("git", "versions", "hardware"),
    *("data", "data_sources", "blueprint", "config_sha256", "built_with"),
)
"""What a record says of the attempt that last had something to train."""


class RunRecord:
    """The record of one run, which a process keeps while it has the run directory.

    A run that was resumed has had several ``attempts``, each with its times, its status, and what
    it ran with: commit, versions, threads and data.

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
        cls,
        directory: Path,
        seed: int | None,
        overrides: Sequence[str],
        resume: Resume = "never",
        labels: Mapping[str, Any] | None = None,
    ) -> RunRecord:
        """Lock the directory for this run; only a new run is recorded at once.

        ``labels`` are its name, tags and notes, as far as it has them.

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
            **(labels or {}),
            "overrides": list(overrides),
            "seed": seed,
        }
        record = cls(lock, facts, previous, code)
        if previous is None:
            record.begin_attempt()
        return record

    def begin_attempt(self, is_built: bool = True) -> None:
        """Record how the run, or this attempt at it, begins.

        Args:
            is_built: whether there is something to train; if not, the code, the versions and the
                data of the record stay those of the attempt before, which made what is there.
        """
        git, patch = self._code
        previous = self.previous or {}
        versions = {"python": platform.python_version(), **_versions()}
        hardware = _hardware()
        attempt = {
            "started": self._facts["started"],
            "status": "RUNNING",
            "commit": None if git is None else git["commit"],
            "versions": versions,
            "threads": hardware["threads"],
        }
        self._facts.update(
            git=git,
            versions=versions,
            hardware=hardware,
            attempts=[*previous.get("attempts", []), attempt],
        )
        if self.previous is not None:
            self._facts["started"] = previous.get("started")
        if not is_built:
            self._facts.update({key: previous[key] for key in RAN_WITH if key in previous})
        self._write()
        if not is_built and self.previous is not None:
            return
        (self.directory / GIT_DIFF).unlink(missing_ok=True)
        if patch:
            (self.directory / GIT_DIFF).write_bytes(patch)

    def update(self, **facts: Any) -> None:
        """Record more about the run."""
        self._facts.update(facts)
        self._write()

    def record_data(self, digests: Mapping[str, str | None], sources: Mapping[str, str]) -> None:
        """Record the data sets that this attempt reads, by name: digests, and where from."""
        self._facts.update(data=dict(digests), data_sources=dict(sources))
        self._facts["attempts"][-1]["data"] = dict(digests)
        self._write()

    def record_ranks(self, ranks: int, nodes: int) -> None:
        """Record how many processes this attempt trains with, and on how many machines."""
        self._facts["attempts"][-1].update(ranks=ranks, nodes=nodes)
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

    Raises ConfigError if no run may start in this directory: it holds one that is done or not to be
    resumed, or none where one must be; or its record is damaged, or a file lies where a
    folder must be.
    """
    _check_places(directory)
    found = _found(directory)
    if found is not None and (resume == "never" or found.get("status") in DONE):
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

    One that died before it wrote a record gets one if its ``overrides`` are given; a damaged record
    is not written over.
    """
    if is_locked(directory, "run"):
        return
    try:
        facts = read_record(directory)
    except FileNotFoundError:
        if overrides is not None:
            RunRecord.start(directory, None, overrides).finish("FAILED", cause=cause)
        return
    except (NotADirectoryError, DamagedRecord):
        return
    if facts["status"] == "RUNNING":
        ended = {"status": "FAILED", "ended": timestamp()}
        for attempt in facts.get("attempts", [])[-1:]:
            attempt.update(ended)
        write_record(directory, {**facts, **ended, "cause": cause})


def write_record(directory: Path, facts: dict[str, Any]) -> None:
    """Write ``run.json``, whole."""
    with atomic_write(directory / RUN_RECORD) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n")


class DamagedRecord(DataError, ValueError):
    """A ``run.json`` that is there, and is not the record of a run.

    Args:
        file (Path): its path.
        problem (str): what is wrong, without the subject.
    """

    def __init__(self, file: Path, problem: str) -> None:
        super().__init__(f"{file} {problem}")
        self.problem = problem


def read_record(directory: Path) -> dict[str, Any]:
    """The record of a run directory.

    It has a ``status``; ``attempts``, ``overrides`` and ``git`` are what a run writes, as far as
    they are there; any other value may be anything.

    Raises FileNotFoundError or NotADirectoryError if there is none, DamagedRecord for anything else
    that lies in its place.
    """
    file = directory / RUN_RECORD
    try:
        facts = parse_json(read_bytes(file))
        # The blueprint is as large as all else, and is looked at by those who read it.
        check_tree({**facts, "blueprint": None} if isinstance(facts, dict) else facts)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except (OSError, ValueError) as error:
        raise DamagedRecord(file, f"cannot be read ({first_line(error)})") from None
    if not isinstance(facts, dict) or not isinstance(facts.get("status"), str):
        raise DamagedRecord(file, "is not the record of a run: it has no status")
    for key, (is_right, right) in _RIGHT.items():
        if key in facts and not is_right(facts[key]):
            raise DamagedRecord(file, f"is damaged: {key} is not {right}")
    return facts


def _check_places(directory: Path) -> None:
    """Raises ConfigError if something is in the way of what Hydra writes before the run begins."""
    hydra = directory / HYDRA
    files = (
        directory / LOG,
        *(hydra / f"{name}.yaml" for name in ("config", "hydra", "overrides")),
    )
    for places, is_right in (((directory, hydra), Path.is_dir), (files, Path.is_file)):
        for path in places:
            if os.path.lexists(path) and not is_right(path):
                right = "directory" if is_right is Path.is_dir else "regular file"
                raise ConfigError(
                    f"{path} is in the way: it is no {right}",
                    key="hydra.run.dir",
                    remedy="choose another directory",
                )


def _are_all(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(isinstance(each, kind) for each in value)


def _is_git(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and isinstance(value.get("commit"), str))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_RIGHT: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "name": (_is_text, "a text"),
    "tags": (_are_all(str), "a list of strings"),
    "notes": (_is_text, "a text"),
    "overrides": (_are_all(str), "a list of strings"),
    "attempts": (_are_all(dict), "a list of mappings"),
    "git": (_is_git, "a mapping with a commit"),
}


def _found(directory: Path) -> dict[str, Any] | None:
    try:
        return read_record(directory)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except DamagedRecord as damage:
        raise ConfigError(
            str(damage), key="hydra.run.dir", remedy="choose another directory, or mend that file"
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
