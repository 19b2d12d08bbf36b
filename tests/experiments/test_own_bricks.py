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
    run_directories,
    same_weights,
)

SHORT = ("experiment=spirals", "num_epochs=2")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied("own_bricks", tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="module")
def run(project: Path) -> Path:
    """A short run, its options found by --config-dir."""
    completed(project, *RUN, "--config-dir", "conf", *SHORT, "hydra.run.dir=short")
    return project / "short"


@pytest.mark.slow
def test_a_whole_run_directory_is_written(run: Path) -> None:
    assert json.loads((run / "run.json").read_text())["status"] == "COMPLETED"
    files = {file.name for file in run.iterdir()}
    assert files >= {"config.yaml", "plan.txt", "metrics.csv", "logs", "predicts.csv", "weights"}


@pytest.mark.slow
def test_each_sample_of_the_users_data_set_is_predicted_once(run: Path) -> None:
    predicts = pd.read_csv(run / "predicts.csv")
    assert predicts["idx"].tolist() == list(range(250))
    assert list(predicts.columns) == ["idx", "logit0", "logit1", "logit2"]


@pytest.mark.slow
def test_the_users_plugin_takes_part_and_is_read_as_a_source(run: Path) -> None:
    assert "gradient_norm" in (run / "plan.txt").read_text().split()
    norms = pd.read_csv(run / "metrics.csv")["gradient_norm"]
    assert len(norms) == 2
    assert (norms > 0).all()


@pytest.mark.slow
def test_hydras_search_path_leads_to_the_same_bits(run: Path, project: Path) -> None:
    searched = f"hydra.searchpath=[file://{project / 'conf'}]"
    completed(project, *RUN, searched, *SHORT, "hydra.run.dir=searched")
    assert same_weights(run, project / "searched")


@pytest.mark.slow
def test_augmentation_from_numpys_generator_does_not_see_the_workers(
    run: Path, project: Path
) -> None:
    workers = ("data.loaders.default.num_workers=2", "hydra.run.dir=workers")
    completed(project, *RUN, "--config-dir", "conf", *SHORT, *workers)
    assert same_weights(run, project / "workers")


@pytest.mark.slow
def test_the_readmes_commands_run_and_the_first_learns(tmp_path: Path) -> None:
    project = copied("own_bricks", tmp_path)
    complete_the_readmes_commands(project, fresh=True)

    first, second, *_ = run_directories(project)
    assert len(run_directories(project)) == len(commands(project))
    record = json.loads((first / "run.json").read_text())
    assert record["final"]["final/val/accuracy"] >= 0.95
    assert same_weights(first, second)
