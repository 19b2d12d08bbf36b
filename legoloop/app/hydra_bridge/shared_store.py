"""Hydra's store of configurations, shared instead of copied."""

from __future__ import annotations

from typing import Any

from hydra.core.config_store import ConfigStore


def share_config_store() -> None:
    """Let copies of Hydra's sources refer to the one store that there is.

    Hydra copies its sources, and the whole store with them, whenever it composes or lists a group:
    half of what ``--help`` takes. It copies what it hands out of the store anyway.
    """
    ConfigStore.__deepcopy__ = _itself  # type: ignore[attr-defined]


def _itself(store: ConfigStore, memo: Any) -> ConfigStore:
    return store
