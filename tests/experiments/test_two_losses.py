from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.experiments.projects import (
    RUN,
    complete_the_readmes_commands,
    completed,
    copied,
    final,
    run_directories,
)

CONF = ("--config-dir", "conf", "loggers=[csv]")


@pytest.mark.slow
def test_they_are_logged_apart_and_add_up(tmp_path: Path) -> None:
    project = copied("two_losses", tmp_path)
    completed(project, *RUN, *CONF, "experiment=redrawing", "num_epochs=2", "hydra.run.dir=run")
    losses = pd.read_csv(project / "run" / "metrics.csv")
    total = losses["loss/name"] + 10 * losses["loss/image"]
    assert losses["loss"].tolist() == pytest.approx(total.tolist(), rel=1e-5)


@pytest.mark.long
def test_the_readmes_commands_run_and_learn(tmp_path: Path) -> None:
    project = copied("two_losses", tmp_path)
    complete_the_readmes_commands(project)
    for run in run_directories(project):
        assert final(run)["final/val/accuracy"] > 0.9
