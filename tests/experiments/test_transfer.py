from __future__ import annotations

from pathlib import Path

import pytest
import torch

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
def test_the_backbone_is_taken_over_and_frozen_at_first(tmp_path: Path) -> None:
    project = copied("transfer", tmp_path)
    short = (*CONF, "num_epochs=1")
    completed(project, *RUN, *short, "experiment=pretrain", "hydra.run.dir=before")
    given = ("model.backbone_of=before/weights", "hydra.run.dir=after")
    completed(project, *RUN, *short, "experiment=transfer", *given)
    before, after = (torch.load(project / run / "weights") for run in ("before", "after"))
    assert all(torch.equal(before[name], after[name]) for name in before if "backbone" in name)
    assert after["head.weight"].shape == (2, 64)


@pytest.mark.long
def test_what_was_learnt_before_helps(tmp_path: Path) -> None:
    project = copied("transfer", tmp_path)
    complete_the_readmes_commands(project)
    first, second = (final(run) for run in run_directories(project / "outputs"))
    assert first["final/val/accuracy"] > second["final/val/accuracy"]
