"""The commands in the README of each example are accepted; they train in tests that take longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.experiments.projects import EXPERIMENTS, RUN, commands, completed, copied

NAMES = sorted(file.parent.name for file in EXPERIMENTS.glob("*/README.md"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_its_runs_can_be_planned(name: str, tmp_path: Path) -> None:
    project = copied(name, tmp_path)
    runs = [each for each in commands(project) if tuple(each[:2]) == RUN and "-m" not in each[2:]]
    before = sorted(project.rglob("*"))
    for words in runs:
        has_app = any(word.startswith("app=") for word in words)  # which plans itself
        assert completed(project, *words, "show=config" if has_app else "show=plan")
    after = [path for path in sorted(project.rglob("*")) if "__pycache__" not in path.parts]
    assert after == before
