"""The configuration of a run, from its ``run.json`` and from its ``config.yaml``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from legoloop.app.compose import compose
from legoloop.core import record_files
from legoloop.results import reading
from legoloop.results.reading import read_config, read_runs
from legoloop.state.run_record import LABELS, read_record

XOR = ("data=xor", "model=logistic", "loggers=[]", "num_epochs=0", "plugins=[default]")


@pytest.fixture
def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was really made."""
    monkeypatch.chdir(tmp_path)
    compose([*XOR, "hydra.run.dir=run", "optimizer.lr=0.25"]).host().run()
    return tmp_path / "run"


def test_a_run_is_read_without_yaml(ended: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_yaml = read_config(ended)
    monkeypatch.setattr(reading, "parse_yaml", lambda content: pytest.fail("it was parsed"))
    (run,) = read_runs(ended).runs
    assert by_yaml is not None
    assert repr(run.config) == repr({k: v for k, v in by_yaml.items() if k not in LABELS})
    assert run.config["optimizer.lr"] == 0.25


def test_what_the_file_says_is_taken_where_it_was_changed(ended: Path) -> None:
    file = ended / "config.yaml"
    file.write_text(file.read_text().replace("lr: 0.25", "lr: 0.5"))
    (run,) = read_runs(ended).runs
    assert run.config["optimizer.lr"] == 0.5


def test_a_run_of_before_has_yaml_alone(ended: Path) -> None:
    record = read_record(ended)
    before = read_runs(ended).runs[0].config
    del record["config_sha256"]
    (ended / "run.json").write_text(json.dumps(record))
    assert repr(read_runs(ended).runs[0].config) == repr(before)


def test_late_changes_are_in_the_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = compose([*XOR, "hydra.run.dir=run"])
    app.config.optimizer.lr.from_value(0.125)
    app.host().run()
    assert read_record(tmp_path / "run")["config_sha256"] is None
    assert read_runs(tmp_path).runs[0].config["optimizer.lr"] == 0.125


@pytest.mark.parametrize(
    "tree",
    [3, [], "text", {"__items__": 5}, {"__items__": [[[], 1]]}, {"__items__": [[1]]}],
    ids=str,
)
def test_a_forged_tree_is_one_line(ended: Path, tree: Any) -> None:
    record = read_record(ended)
    record["blueprint"]["tree"] = tree
    (ended / "run.json").write_text(json.dumps(record))
    (problem,) = read_runs(ended).problems
    assert "config.yaml" in problem
    assert "\n" not in problem


def test_depth_is_that_of_both(ended: Path) -> None:
    record = read_record(ended)
    deep: Any = 1
    for _ in range(record_files.MAX_DEPTH + 1):
        deep = [deep]
    record["blueprint"]["tree"] = {"deep": deep}
    (ended / "run.json").write_text(json.dumps(record))
    assert read_runs(ended).problems[0].endswith("is nested too deeply); skipped")
