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
def test_every_row_held_out_is_predicted(tmp_path: Path) -> None:
    project = copied("tabular_regression", tmp_path)
    completed(project, "make_table.py")
    completed(project, *RUN, *CONF, "experiment=table", "num_epochs=3", "hydra.run.dir=run")
    predicts = pd.read_csv(project / "run" / "predicts.csv")
    assert predicts["idx"].tolist() == list(range(0, 442, 5))
    assert final(project / "run")["final/val/absolute_error"] < 65


@pytest.mark.long
def test_the_readmes_commands_run_and_the_first_learns(tmp_path: Path) -> None:
    project = copied("tabular_regression", tmp_path)
    complete_the_readmes_commands(project)
    assert final(run_directories(project)[0])["final/val/absolute_error"] < 50
