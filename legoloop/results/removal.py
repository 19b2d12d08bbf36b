"""Puts runs aside, or deletes them; whoever calls this has asked before."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from legoloop.core.atomic_files import describe_os_error, remove_directory
from legoloop.core.errors import ArgumentError, ConfigError, DataError
from legoloop.core.run_directory import RUN_RECORD, SWEEP_RECORD
from legoloop.results.reading import ARCHIVE
from legoloop.state.directory_lock import DirectoryLock, is_locked
from legoloop.state.run_record import DamagedRecord, read_record


def check_removable(option: str, directory: Path) -> None:
    """Raises ArgumentError unless it is the directory of one run that has ended, and only that.

    Args:
        option: for messages.
        directory: of the run.
    """

    def refuse(why: str) -> ArgumentError:
        return ArgumentError(f"{option} {directory}: {why}")

    if directory.is_symlink():
        raise refuse("is a link; name the folder that it leads to")
    try:
        read_record(directory)
    except (FileNotFoundError, NotADirectoryError):
        raise refuse(f"is no run directory: it has no {RUN_RECORD}") from None
    except DamagedRecord as damage:
        raise refuse(f"{RUN_RECORD} {damage.problem}; remove that folder by hand") from None
    if is_locked(directory, "run"):
        raise refuse("the run is going on; wait for it")
    if Path.cwd().is_relative_to(directory.resolve()):
        raise refuse("the current folder is in it")
    if (strange := _strange(directory)) is not None:
        raise refuse(f"holds more than a run, {strange}; remove what you mean by hand")


def archived_place(directory: Path) -> Path:
    """Where a run is put aside: the folder ``archive`` beside it.

    >>> archived_place(Path("multirun/then/3")).as_posix()
    'multirun/then/archive/3'
    """
    return directory.parent / ARCHIVE / directory.name


def archive(directories: Sequence[Path]) -> None:
    """Move run directories into the folders ``archive`` beside them.

    Raises ArgumentError, before the first one is moved, if the place of one is taken or one may not
    be moved; DataError if the disk refuses.
    """
    for directory in directories:
        check_removable("--archive", directory)
        place = archived_place(directory)
        if os.path.lexists(place):
            raise ArgumentError(f"--archive {directory}: {place} is there already")
        if place.parent.is_symlink() or (place.parent / RUN_RECORD).exists():
            raise ArgumentError(f"--archive {directory}: {place.parent} is no folder of runs")
    for directory in directories:
        lock = _locked("--archive", directory)
        try:
            archived_place(directory).parent.mkdir(exist_ok=True)
            directory.rename(archived_place(directory))
        except OSError as error:
            raise _failed("--archive", directory, error) from error
        finally:
            lock.release()


def delete(directories: Sequence[Path]) -> None:
    """Delete run directories with all that lies in them; links are removed, not followed.

    Raises ArgumentError, before the first one is deleted, if one may not be; DataError if the disk
    refuses.
    """
    for directory in directories:
        check_removable("--delete", directory)
    for directory in directories:
        lock = _locked("--delete", directory)
        try:
            remove_directory(directory)
        except OSError as error:
            raise _failed("--delete", directory, error) from error
        finally:
            lock.release()


def bytes_in(directory: Path) -> int:
    """The size of what lies in a folder; links count by themselves."""
    sizes = 0
    for folder, _, files in os.walk(directory):
        for name in files:
            try:
                sizes += os.lstat(os.path.join(folder, name)).st_size
            except OSError:
                continue
    return sizes


def _strange(directory: Path) -> str | None:
    """Something in a run directory that no run has written: another run, a repository, a sweep."""
    for folder, folders, files in os.walk(directory):
        path = Path(folder)
        inner = path.relative_to(directory)
        if ".git" in (*folders, *files):
            return f"a repository ({inner / '.git'})"
        if SWEEP_RECORD in files:
            return f"a sweep ({inner / SWEEP_RECORD})"
        if RUN_RECORD in files and inner.parts:
            return f"another run ({inner})"
    return None


def _locked(option: str, directory: Path) -> DirectoryLock:
    try:
        return DirectoryLock(directory, "run")
    except ConfigError:
        raise ArgumentError(f"{option} {directory}: the run is going on; wait for it") from None


def _failed(option: str, directory: Path, error: OSError) -> DataError:
    return DataError(f"{option} {directory}: failed ({describe_os_error(directory, error)})")
