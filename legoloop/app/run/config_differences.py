"""What a run is made of that the run that it repeats was not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.utils import to_absolute_path
from omegaconf import DictConfig, OmegaConf

from legoloop.app.config.schema import LAUNCH_KEYS
from legoloop.core.errors import ConfigError
from legoloop.results.compare import CONFIGURATION, Row, input_differences
from legoloop.results.reading import Run, read_runs


def differences(tree: DictConfig) -> list[str]:
    """What the run of this tree is made of that the run that it is ``from`` was not: lines.

    Values that refer to another that differs are not told. Both runs have their records.
    """
    run = str(tree["rerun"])
    before, now = (read_recorded(Path(place)) for place in (to_absolute_path(run), tree.run_dir))
    rows = input_differences(before, now)
    told = [_told(row) for row in rows if row[0] != CONFIGURATION or _is_its_own(tree, row[1])]
    return told or [f"nothing differs from {run}"]


def _is_its_own(tree: DictConfig, key: str) -> bool:
    """Whether the value of a key is part of the run, and no reference to another one."""
    above, _, name = key.rpartition(".")
    node = OmegaConf.select(tree, above) if above else tree
    is_there = isinstance(node, DictConfig) and name in node
    is_reference = is_there and OmegaConf.is_interpolation(node, name)
    return key.partition(".")[0] not in LAUNCH_KEYS and not is_reference


def _told(row: Row) -> str:
    about, what, before, now = row
    name = what if about == CONFIGURATION else f"{about} {what}"
    return f"differs: {name}: {_shown(before)} → {_shown(now)}"


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)


def read_recorded(run: Path) -> Run:
    """The run of a directory. Raises ConfigError if there is none, or its record is damaged."""
    found = read_runs(run)
    if found.problems:
        raise ConfigError(found.problems[0].removesuffix("; skipped"))
    return found.runs[0]
