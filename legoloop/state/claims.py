"""A directory belongs to one run, or to one sweep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from legoloop.core.errors import ConfigError

Kind = Literal["run", "sweep"]


def claim_directory(directory: Path, kind: Kind) -> Path:
    """Make the directory if need be, and in it the file that says whose it is: its path.

    Of several that try, one wins. Raises ConfigError if the directory is taken or cannot be made.

    >>> import tempfile
    >>> claim_directory(Path(tempfile.mkdtemp()) / "new", "run").name
    'run.json'
    """
    mark = directory / f"{kind}.json"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        mark.open("x").close()
    except FileExistsError:
        raise _taken(mark, kind) from None
    except OSError as error:
        raise ConfigError(
            f"hydra.{kind}.dir: {directory} cannot be made ({error.strerror}); choose another"
        ) from error
    return mark


def refuse_taken(directory: Path, kind: Kind) -> None:
    """Raises ConfigError if the directory is taken; leaves it as it is.

    >>> refuse_taken(Path("nowhere"), "run")
    """
    mark = directory / f"{kind}.json"
    if mark.exists():
        raise _taken(mark, kind)


def _taken(mark: Path, kind: Kind) -> ConfigError:
    return ConfigError(
        f"hydra.{kind}.dir: {mark.parent} holds a {kind} already{_about(mark)}; "
        "choose another directory, or remove that one"
    )


def _about(mark: Path) -> str:
    try:
        facts = json.loads(mark.read_text())
    except (OSError, ValueError):
        return ""
    known = [facts.get("status"), f"started {facts.get('started')}"]
    return f" ({', '.join(filter(None, known))})"
