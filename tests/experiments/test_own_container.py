from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.experiments.projects import (
    RUN,
    commands,
    complete_the_readmes_commands,
    completed,
    copied,
    python,
    run_directories,
    same_weights,
)

pytestmark = pytest.mark.slow

APP = "app=digits_app.DigitsApp"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied("own_container", tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="module")
def run(project: Path) -> Path:
    """The run that the command makes with the container's own values."""
    completed(project, *RUN, APP, "hydra.run.dir=by_command")
    assert not (project / "learn").exists()  # where the script would have run
    return project / "by_command"


def test_the_command_gives_it_a_run_directory(run: Path) -> None:
    files = {file.name for file in run.iterdir()}
    assert files >= {"run.json", "plan.txt", "metrics.csv", "predicts.csv", "weights"}
    assert len(pd.read_csv(run / "predicts.csv")) == 360


def test_it_learns_and_the_record_says_so(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "COMPLETED"
    assert record["final"]["val/accuracy"] >= 0.93


def test_the_script_ends_with_the_same_bits(run: Path, project: Path) -> None:
    completed(project, "digits_app.py")
    learn = project / "learn"
    assert same_weights(run, learn)
    for file in ("metrics.csv", "predicts.csv"):
        assert (run / file).read_text() == (learn / file).read_text()


def test_the_keys_that_it_reads_can_be_set(run: Path, project: Path) -> None:
    keys = ("num_epochs=1", "optimizer.lr=0.01", "seed=3", "data.loaders.default.batch_size=100")
    completed(project, *RUN, APP, *keys, "hydra.run.dir=set")
    assert pd.read_csv(project / "set" / "metrics.csv")["step"].tolist() == [15]
    assert json.loads((project / "set" / "run.json").read_text())["seed"] == 3
    assert not same_weights(run, project / "set")


def test_a_key_that_it_does_not_read_is_refused(project: Path) -> None:
    done = python(project, *RUN, APP, "epoch_size=1000", "hydra.run.dir=refused")
    assert done.returncode == 2
    assert not (project / "refused").exists()
    assert done.stdout == ""
    assert done.stderr.strip() in (project / "README.md").read_text()


@pytest.mark.long
def test_the_readmes_commands_run(tmp_path: Path) -> None:
    project = copied("own_container", tmp_path)
    complete_the_readmes_commands(project)

    batch_sizes = 2  # of the sweep; the script is no run of the command
    assert len(run_directories(project)) == len(commands(project)) - 2 + batch_sizes
