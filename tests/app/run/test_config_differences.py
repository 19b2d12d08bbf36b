"""How two runs differ, told from their records alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.run.config_differences import differences, read_recorded
from legoloop.app.wiring.resolve import resolve_with
from legoloop.core.errors import ConfigError
from tests.app.composed import tree_of, with_value

RECORD = {
    "status": "COMPLETED",
    "seed": 0,
    "overrides": [],
    "started": "2026-01-31T12:00:00.000+00:00",
    "versions": {"torch": "2.0"},
    "hardware": {"threads": 2},
    "git": None,
    "data": {"train": "one"},
}


def recorded(folder: Path, tree: dict[str, Any], **changes: Any) -> Path:
    folder.mkdir()
    OmegaConf.save(OmegaConf.create(tree), folder / "config.yaml")
    (folder / "run.json").write_text(json.dumps({**RECORD, **changes}))
    return folder


def told(tmp_path: Path, values: dict[str, Any], **changes: Any) -> list[str]:
    """What differs when these values are set over those of a run."""
    written = tree_of()
    written["plugins"]["last"]["num_epochs"] = "${num_epochs}"
    written["data"]["root"] = "${run_dir}/data"
    then, now = str(tmp_path / "then"), str(tmp_path / "now")
    recorded(tmp_path / "then", resolve_with(with_value(written, "run_dir", then), {})[0])
    tree, unresolved = resolve_with(written, {"run_dir": now, "rerun": then, **values})
    recorded(tmp_path / "now", tree, **changes)
    return [line.replace(then, "then") for line in differences(Blueprint.of(tree, unresolved))]


def test_the_same_run_again(tmp_path: Path) -> None:
    assert told(tmp_path, {}) == ["nothing differs from then"]


def test_how_it_is_launched_is_no_difference(tmp_path: Path) -> None:
    launched = {"resume": "must", "on_config_change": "accept", "show": None}
    assert told(tmp_path, launched) == ["nothing differs from then"]


def test_a_value_is_told_once_and_what_refers_to_it_is_not(tmp_path: Path) -> None:
    assert told(tmp_path, {"num_epochs": 5, "optimizer.lr": 0.5, "optimizer.momentum": 0.9}) == [
        "differs: num_epochs: 2 → 5",
        "differs: optimizer.lr: 0.1 → 0.5",
        "differs: optimizer.momentum: nothing → 0.9",
    ]


def test_what_the_records_tell_besides(tmp_path: Path) -> None:
    changes = {"versions": {"torch": "3.0"}, "data": {"train": "other"}}
    assert sorted(told(tmp_path, {}, **changes)) == [
        "differs: data train: one → other",
        "differs: versions torch: 2.0 → 3.0",
    ]


def test_a_run_that_is_not_there_or_damaged(tmp_path: Path) -> None:
    run = recorded(tmp_path / "run", tree_of())
    assert read_recorded(run).directory == run
    (run / "run.json").write_text("{")
    with pytest.raises(ConfigError, match=r"run\.json") as refused:
        read_recorded(run)
    assert not str(refused.value).endswith("left out")
