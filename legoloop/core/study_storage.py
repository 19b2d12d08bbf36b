"""The storage of an Optuna study: a journal file, or what a URL names."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from legoloop.core.errors import ArgumentError, MissingExtraError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

RUN_DIR = "run_dir"
"""The attribute of a trial that names the directory of its run."""
SQLITE = "sqlite:///"


def open_storage(storage: str) -> BaseStorage:
    """The storage that several processes, and machines that share a folder, may use at once.

    Args:
        storage (str): the path of a journal file, which is made; or a URL of Redis or a database.

    Raises MissingExtraError without Optuna, ArgumentError for a storage that cannot be opened.

    >>> import tempfile
    >>> opened = open_storage(f"{tempfile.mkdtemp()}/study.journal")
    >>> opened.get_all_studies()
    []
    """
    with quiet_optuna("an Optuna study"):
        from optuna import storages
        from optuna.storages import journal

        try:
            if is_file(storage):
                return storages.JournalStorage(journal.JournalFileBackend(storage))
            if storage.startswith("redis"):
                return storages.JournalStorage(journal.JournalRedisBackend(storage))
            return storages.RDBStorage(storage, engine_kwargs=_engine(storage))
        except Exception as error:  # of the database, the driver, the network or the disk
            cause = next(iter(str(error).splitlines()), repr(error))
            raise ArgumentError(
                f"is {storage}, which cannot be opened ({cause})",
                argument="storage",
                remedy="give the path of a journal file, or a URL such as sqlite:///study.db",
            ) from error


def is_file(storage: str) -> bool:
    """Whether a storage is named by the path of its journal file.

    >>> is_file("study.journal"), is_file("sqlite:///study.db")
    (True, False)
    """
    return "://" not in storage


def file_of(storage: str) -> Path | None:
    """The file that a storage is kept in; None if it is kept by a server, or in memory.

    >>> file_of("sqlite:////tmp/study.db")
    PosixPath('/tmp/study.db')
    """
    if is_file(storage):
        return Path(storage)
    name = storage.removeprefix(SQLITE).partition("?")[0]
    return Path(name) if storage.startswith(SQLITE) and name and name != ":memory:" else None


def absolute(storage: str) -> str:
    """The same storage, named so that it is found from any folder.

    >>> absolute("sqlite:////tmp/study.db"), absolute("redis://here:6379")
    ('sqlite:////tmp/study.db', 'redis://here:6379')
    """
    if is_file(storage):
        return os.path.abspath(storage)
    if storage.startswith(SQLITE) and storage != SQLITE:
        return SQLITE + os.path.abspath(storage.removeprefix(SQLITE))
    return storage


@contextmanager
def quiet_optuna(who: str) -> Iterator[None]:
    """While inside, Optuna keeps what is still an experiment to itself.

    Raises MissingExtraError without Optuna, named after who needs it.
    """
    try:
        import optuna
    except ImportError:
        raise MissingExtraError.of(who, "optuna", "optuna") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def _engine(storage: str) -> dict[str, object]:
    """Writers of SQLite wait for each other."""
    return {"connect_args": {"timeout": 60}} if storage.startswith("sqlite") else {}
