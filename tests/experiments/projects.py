"""The worked examples, copied to another folder and started there as a user starts them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

import legoloop
from tests import fork_server

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
RUN = ("-m", "legoloop.run")


def copied(name: str, folder: Path) -> Path:
    """A copy of an example: what runs there needs nothing of this repository but the package."""
    ignored = shutil.ignore_patterns("__pycache__", "outputs", "multirun", "learn")
    return Path(shutil.copytree(EXPERIMENTS / name, folder / name, ignore=ignored))


def python(project: Path, *words: str, fresh: bool = False) -> subprocess.CompletedProcess[str]:
    """Python, started in the folder of the project; ``fresh``, it imports everything itself."""
    home = str(Path(legoloop.__file__).parents[1])  # the package may not be installed
    env = {**os.environ, "PYTHONPATH": home, "OMP_NUM_THREADS": "1"}
    if not fresh:
        return fork_server.run(words, cwd=project, env=env)
    return subprocess.run(
        [sys.executable, *words],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def completed(project: Path, *words: str, fresh: bool = False) -> str:
    """What a run printed that ended well and warned of nothing."""
    done = python(project, *words, fresh=fresh)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def commands(project: Path) -> list[list[str]]:
    """The commands in the README, each split into the words after ``python``."""
    blocks = re.findall(r"```sh\n(.*?)```", (project / "README.md").read_text(), re.DOTALL)
    lines = [shlex.split(line) for block in blocks for line in block.splitlines()]
    assert {words[0] for words in lines} == {"python"}
    return [words[1:] for words in lines]


def complete_the_readmes_commands(project: Path, fresh: bool = False) -> None:
    """Run them in their order; ``fresh``, the first by an interpreter of its own."""
    first, *others = commands(project)
    completed(project, *first, fresh=fresh)
    for command in others:
        completed(project, *command)


def same_weights(one: Path, other: Path) -> bool:
    """Whether the final weights of two run directories are equal bit for bit."""
    first, second = (torch.load(folder / "weights") for folder in (one, other))
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def run_directories(project: Path) -> list[Path]:
    """All run directories under the project."""
    return sorted(record.parent for record in project.rglob("run.json"))


def final(run: Path) -> dict[str, Any]:
    """The scalars that a run ended with, which has completed."""
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "COMPLETED"
    return dict(record["final"])
