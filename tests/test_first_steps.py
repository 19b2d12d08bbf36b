"""The twelve first steps of docs/coming_from.md: our commands are run, in their order."""

from __future__ import annotations

import ast
import csv
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import fork_server
from tests.app.command import environment

PAGE = (Path(__file__).parent.parent / "docs" / "coming_from.md").read_text()
STEPS = re.findall(
    r"^### \d+\. (.+?)\n\nLightning:\n\n```py\n(.*?)```\n\nIgnite:\n\n```py\n(.*?)```\n\n"
    r"legoloop:\n\n```bash\n(.*?)```",
    PAGE,
    re.DOTALL | re.MULTILINE,
)


def test_there_are_twelve_and_all_of_it_can_be_read() -> None:
    assert len(STEPS) == 12 == len({title for title, *_ in STEPS})
    for _, lightning, ignite, ours in STEPS:
        ast.parse(lightning), ast.parse(ignite)
        assert len(ours.splitlines()) <= len(lightning.splitlines()) + 1


def record(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "run.json").read_text()))


def metrics(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.long
def test_our_commands_do_what_they_say(tmp_path: Path) -> None:
    for line in (line for *_, ours in STEPS for line in ours.splitlines()):
        program, *words = shlex.split(line)
        assert program == "python"
        done = fork_server.run(words, cwd=tmp_path, env=environment())
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"

    runs = list(tmp_path.rglob("run.json"))
    assert {record(file.parent)["status"] for file in runs} == {"COMPLETED"}
    assert len(runs) == sum(ours.count("legoloop.run") for *_, ours in STEPS)
    (evaluation,) = (tmp_path / "step2" / "evaluations").glob("*/metrics.json")
    assert (
        json.loads(evaluation.read_text())["final/val/loss"]
        == (record(tmp_path / "step2")["final"]["final/val/loss"])
    )
    steps = [len(metrics(tmp_path / name)) for name in ("step3", "step3_longer")]
    assert steps == [4, 6], "an epoch each; those of both attempts"
    assert torch.load(tmp_path / "step4" / "weights_best")
    evaluated = [int(row["step"]) for row in metrics(tmp_path / "step5") if row["val/loss"]]
    assert {10, 20, 30} <= set(evaluated)
    assert "forward" in (tmp_path / "step8" / "profile.txt").read_text()
    assert (tmp_path / "step9" / "metrics.jsonl").exists()
    assert "probability1" in (tmp_path / "step10" / "probabilities.csv").read_text()
