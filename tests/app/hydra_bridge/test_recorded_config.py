"""The tree that a run wrote down: what is no record is refused before Hydra reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from legoloop.app.hydra_bridge.recorded_config import recorded_tree
from legoloop.app.run.rerun import primary_config
from legoloop.core.errors import ConfigError
from tests.app.composed import blueprint_of

CALLBACK = {"callbacks": {"mine": {"_target_": "mine.Callback"}}, "run": {"dir": "elsewhere"}}


@pytest.mark.parametrize(
    ("key", "value"), [("hydra", CALLBACK), ("hydra", None), ("defaults", ["model: mlp"])]
)
def test_a_key_that_hydra_composes_from_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: object
) -> None:
    monkeypatch.chdir(tmp_path)
    tree = blueprint_of("data=xor", "model=logistic").tree
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(tree))
    assert recorded_tree(tmp_path).seed == 0
    file.write_text(yaml.safe_dump({**tree, key: value}))
    for read in (lambda: recorded_tree(tmp_path), lambda: primary_config([f"rerun={tmp_path}"])):
        with pytest.raises(ConfigError) as refused:
            read()
        assert str(refused.value) == (
            f"{file}: is no record of a run, it has a key '{key}'; remove that key"
        )
