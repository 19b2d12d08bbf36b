"""How a run differs from the run that it repeats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.utils import to_absolute_path

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.config.paths import find_path
from legoloop.app.config.settings import LAUNCH_KEYS
from legoloop.core.errors import ConfigError
from legoloop.core.text import printable
from legoloop.results.compare import CONFIGURATION, Row, input_differences
from legoloop.results.reading import Run, read_runs


def differences(blueprint: Blueprint) -> list[str]:
    """How a run differs from the run that it repeats (``rerun``): a line each.

    Values that refer to another that differs are left out. Both runs have their records.
    """
    run = str(blueprint.settings.rerun)
    places = (to_absolute_path(run), blueprint.settings.run_dir)
    before, now = (read_recorded(Path(place)) for place in places)
    rows = input_differences(before, now)
    lines = [
        _line(row) for row in rows if row[0] != CONFIGURATION or _is_its_own(blueprint, row[1])
    ]
    return lines or [f"nothing differs from {run}"]


def _is_its_own(blueprint: Blueprint, key: str) -> bool:
    """Whether the value of a key is part of the run, and no reference to another one."""
    written = find_path(blueprint.unresolved, key)
    is_reference = isinstance(written, str) and "${" in written
    return key.partition(".")[0] not in LAUNCH_KEYS and not is_reference


def _line(row: Row) -> str:
    about, what, before, now = row
    name = what if about == CONFIGURATION else f"{about} {what}"
    return printable(f"differs: {name}: {_cell(before)} → {_cell(now)}")


def _cell(value: Any) -> str:
    return "nothing" if value is None else str(value)


def read_recorded(run: Path) -> Run:
    """The run of a directory. Raises ConfigError if there is none, or its record is damaged."""
    found = read_runs(run)
    if found.problems:
        raise ConfigError(found.problems[0].removesuffix("; skipped"))
    return found.runs[0]
