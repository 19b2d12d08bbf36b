"""The record of a search: what makes it the same one again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from legoloop.core.errors import ConfigError
from legoloop.state.sweep_record import lock_sweep, started_of

SEARCH = {"space": ["lr=interval(0,1)"], "monitor": ["loss"], "n_trials": 3, "configuration": "a"}


def locked(folder: Path, search: Any, **given: Any) -> None:
    lock_sweep(folder, [], [], "auto", search=search, **given).release()


def test_only_the_number_of_trials_may_change(tmp_path: Path) -> None:
    assert started_of(tmp_path) is None
    locked(tmp_path, SEARCH)
    began = started_of(tmp_path)
    locked(tmp_path, {**SEARCH, "n_trials": 9})
    assert started_of(tmp_path) == began
    for search, told in (
        (
            {**SEARCH, "space": ["lr=interval(0,2)"]},
            r"with another space: \['lr=interval\(0,1\)'\]",
        ),
        ({**SEARCH, "monitor": ["lr"]}, "with another monitor: "),
        (None, "with another sweeper"),
        ({**SEARCH, "configuration": "b"}, "the configuration of its jobs changed"),
    ):
        with pytest.raises(ConfigError, match=told):
            locked(tmp_path, search)
    locked(tmp_path, {**SEARCH, "configuration": "b"}, accept=True)


def test_a_grid_is_no_search(tmp_path: Path) -> None:
    lock_sweep(tmp_path, [["seed=0"]], [{"seed": 0}]).release()
    with pytest.raises(ConfigError, match="with another sweeper"):
        locked(tmp_path, SEARCH)


@pytest.mark.parametrize("hostile", [None, 3, "x", [], {}, {"configuration": {}}])
def test_whatever_stands_in_its_place_is_no_error_of_ours(hostile: Any, tmp_path: Path) -> None:
    locked(tmp_path, SEARCH)
    file = tmp_path / "sweep.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "search": hostile}))
    for search in (SEARCH, None):
        try:
            locked(tmp_path, search)
        except ConfigError:
            continue
