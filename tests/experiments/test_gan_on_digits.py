from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.experiments.projects import (
    RUN,
    complete_the_readmes_commands,
    completed,
    copied,
    run_directories,
)

CONF = ("--config-dir", "conf", "loggers=[csv]")


def test_losses_are_logged_apart_and_images_are_saved(tmp_path: Path) -> None:
    project = copied("gan_on_digits", tmp_path)
    completed(project, *RUN, *CONF, "experiment=gan", "num_epochs=2", "hydra.run.dir=run")
    losses = pd.read_csv(project / "run" / "metrics.csv")
    assert losses["step"].tolist() == [23, 46]
    assert {"loss/discriminator", "loss/generator", "distance"} < set(losses.columns)
    images = torch.load(project / "run" / "images.pt")
    assert images.shape == (64, 1, 8, 8)
    assert 0 <= images.min() < images.max() <= 1


@pytest.mark.long
def test_the_readmes_commands_run_and_the_first_learns(tmp_path: Path) -> None:
    project = copied("gan_on_digits", tmp_path)
    complete_the_readmes_commands(project)
    longest, *_ = run_directories(project)
    distances = pd.read_csv(longest / "metrics.csv")["distance"]
    assert distances.iloc[-1] < distances.iloc[0] / 2
