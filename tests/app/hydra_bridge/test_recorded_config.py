"""What a run wrote down is taken as it stands, whoever wrote it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from legoloop.app.hydra_bridge.recorded_config import _literal, recorded_tree
from legoloop.app.run.rerun import primary_config
from legoloop.core.errors import ConfigError
from tests.app.composed import blueprint_of
from tests.results.damaged_runs import RAW

CALLBACK = {"callbacks": {"mine": {"_target_": "mine.Callback"}}, "run": {"dir": "elsewhere"}}
WHOLE = "seed: 0\ndevice: cpu\nrun_dir: /runs/one\n"


def resolved(run: Path) -> Any:
    return OmegaConf.to_container(recorded_tree(run), resolve=True)


def test_nothing_in_a_record_is_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the reader")
    asked = ["${oc.env:SECRET}", "a ${seed}", "${nowhere}", "\\\\${seed}"]
    lines = [f"key{n}: '{text}'\n" for n, text in enumerate(asked)]
    (tmp_path / "config.yaml").write_text(WHOLE + "".join(lines))
    found = resolved(tmp_path)
    assert [found[f"key{n}"] for n in range(len(asked))] == asked


def test_a_reference_that_still_gives_the_value_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "of the reader")
    (tmp_path / "config.yaml").write_text(WHOLE + "lr: 0\nroot: of the writer\n")
    (tmp_path / ".hydra").mkdir()
    composed = WHOLE + "lr: ${seed}\nroot: ${oc.env:SECRET}\n"
    (tmp_path / ".hydra" / "config.yaml").write_text(composed)
    tree = recorded_tree(tmp_path)
    tree.seed = 3
    assert (tree.lr, tree.root) == (3, "of the writer")


def test_what_hydra_composed_may_miss_a_value(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(WHOLE + "lr: 0.1\nhidden: [1, 2]\n")
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text(WHOLE + "lr: ???\nhidden: [1, '???']\n")
    assert (resolved(tmp_path)["lr"], resolved(tmp_path)["hidden"]) == (0.1, [1, 2])


@given(st.text(alphabet="a\\${}:.' \"", max_size=8))
def test_any_text_stays_what_it_is(text: str) -> None:
    assert OmegaConf.create({"x": _literal(text)}).x == text


@pytest.mark.parametrize("run_dir", ["null", "3", "[]", "''", "{a: 1}"])
def test_a_run_directory_that_is_no_path_is_told(tmp_path: Path, run_dir: str) -> None:
    (tmp_path / "config.yaml").write_text(WHOLE.replace("/runs/one", run_dir))
    with pytest.raises(ConfigError, match=r"is not whole, 'run_dir' is "):
        recorded_tree(tmp_path)


@pytest.mark.parametrize("file", ["config.yaml", ".hydra/config.yaml"])
@pytest.mark.parametrize("number", range(len(RAW["yaml"])))
def test_yaml_that_does_harm_is_one_line(tmp_path: Path, file: str, number: int) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / "config.yaml").write_text(WHOLE)
    (tmp_path / file).write_text(RAW["yaml"][number])
    said = ""
    with suppress(ConfigError):
        try:
            recorded_tree(tmp_path)
        except ConfigError as error:
            said = str(error)
            raise
    assert "\n" not in said


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    os.truncate(tmp_path / "config.yaml", 2**36)
    with pytest.raises(ConfigError, match="is larger than 32 MiB"):
        recorded_tree(tmp_path)


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
