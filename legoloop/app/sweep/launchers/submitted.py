"""Which jobs of a sweep were submitted to a cluster, and under which numbers of its own."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from legoloop.core.atomic_files import atomic_write
from legoloop.core.record_files import parse_json, read_bytes

FILE = "submitted.json"


def submitted(folder: Path) -> dict[int, str]:
    """The cluster's number of each job that was submitted and whose end nobody was told of yet.

    >>> submitted(Path("nowhere"))
    {}
    """
    try:
        found = parse_json(read_bytes(folder / FILE))
        return {int(number): str(other) for number, other in found["jobs"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def remember(folder: Path, jobs: Mapping[int, str]) -> None:
    """Write down that these jobs were submitted too.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> remember(folder, {0: "17_0"})
    >>> remember(folder, {1: "17_1"})
    >>> forget(folder, [0])
    >>> submitted(folder)
    {1: '17_1'}
    """
    _write(folder, submitted(folder) | dict(jobs))


def forget(folder: Path, jobs: Collection[int]) -> None:
    """Their ends were told of; the next command submits what is left to do of them again."""
    left = submitted(folder).items()
    _write(folder, {number: other for number, other in left if number not in jobs})


def _write(folder: Path, jobs: Mapping[int, str]) -> None:
    with atomic_write(folder / FILE) as draft:
        draft.write_text(json.dumps({"jobs": jobs}, indent=2) + "\n")
