"""Overrides: as the user wrote them, and as Hydra understands them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from legoloop.app.hydra_bridge.internals import Repository


def task_overrides(hydra: HydraConf | DictConfig) -> list[str]:
    """The overrides of a job as the user wrote them, without those of Hydra's own settings."""
    return _unresolved(hydra.overrides.task)


def hydra_overrides(hydra: HydraConf | DictConfig) -> list[str]:
    """The overrides of Hydra's own settings as the user wrote them."""
    return _unresolved(hydra.overrides.hydra)


def all_overrides(hydra: HydraConf | DictConfig) -> list[str]:
    """The overrides of a job, those of Hydra's own settings first."""
    return [*hydra_overrides(hydra), *task_overrides(hydra)]


def search_path(folder: Path) -> str:
    """The override that lets Hydra find a folder of groups, whatever its name.

    >>> search_path(Path("/mine/a, b"))
    "hydra.searchpath=['file:///mine/a, b']"
    """
    return f"hydra.searchpath=[{quote_override(f'file://{folder.absolute()}')}]"


def quote_override(text: str) -> str:
    """A text as a value of an override, whatever is in it.

    >>> quote_override("it's")
    "'it\\\\'s'"
    """
    # Hydra takes a backslash away only before a quote and at the end.
    escaped = re.sub(r"(\\*)('|$)", lambda at: at[1] * 2 + at[2].replace("'", "\\'"), text)
    return f"'{escaped}'"


def _unresolved(overrides: Any) -> list[str]:
    return list(OmegaConf.to_container(overrides, resolve=False))  # type: ignore[arg-type]


def is_value(override: Override, found: Repository) -> bool:
    """Whether an override sets a value, and does not choose an option of a group."""
    return not _options(found, override.key_or_group)


@lru_cache(maxsize=1024)
def _options(found: Repository, group: str) -> list[str]:
    return found.get_group_options(group)  # lists files


def parse_overrides(overrides: Sequence[str]) -> list[Override]:
    """Overrides as Hydra understands them."""
    return [_parse(text) for text in overrides]


@lru_cache(maxsize=1024)
def _parse(text: str) -> Override:
    # Only for a list does Hydra's error name the override that cannot be parsed.
    (parsed,) = OverridesParser.create().parse_overrides([text])
    return parsed
