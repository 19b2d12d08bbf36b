from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch.nn.functional import mse_loss

from tests.experiments.in_process import Project, assert_equal
from tests.experiments.projects import (
    complete_the_readmes_commands,
    copied,
    final,
    run_directories,
)

SMALL = (
    *("experiment=sines", "num_epochs=3", "model.hidden=5", "optimizer.max_iter=4"),
    *(
        f"+data.datasets.{name}.{key}={value}"
        for name in ("train", "val")
        for key, value in {"waves": 6, "others": 2, "length": 12, "future": 5}.items()
    ),
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    torch.set_num_threads(1)
    return Project("lbfgs_sines", tmp_path, monkeypatch)


def hand_written(app: Any, search: str | None, steps: int) -> dict[str, torch.Tensor]:
    """PyTorch's ``time_sequence_prediction``."""
    model, data = deepcopy(app.model()), app.data.datasets()["train"].columns
    opt = torch.optim.LBFGS(model.parameters(), lr=0.8, max_iter=4, line_search_fn=search)
    model.train()
    for _ in range(steps):

        def closure() -> Any:
            opt.zero_grad()
            loss = mse_loss(model(data)["prediction"], data["target"])
            loss.backward()
            return loss

        opt.step(closure)
    return {name: value.detach() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("search", [None, pytest.param("strong_wolfe", marks=pytest.mark.slow)])
def test_equals_a_plain_loop_bit_for_bit(search: str | None, project: Project) -> None:
    searched = f"optimizer.line_search_fn={search or 'null'}"
    app = project.app("run", *SMALL, searched)
    expected = hand_written(app, search, steps=3)

    app.host().run()

    assert_equal(torch.load(project.folder / "run" / "weights"), expected)
    errors = pd.read_csv(project.folder / "run" / "metrics.csv")
    assert errors["val/error"].iloc[-1] < errors["val/error"].iloc[0]
    assert {"val/later_error", "loss"} < set(errors.columns)


@pytest.mark.slow
@pytest.mark.parametrize("after_steps", [1, 2, 3])
def test_killed_and_resumed_it_goes_on_with_its_curvature(
    after_steps: int, project: Project
) -> None:
    app = project.app("whole", *SMALL)
    app.host().run()
    expected = torch.load(project.folder / "whole" / "weights")
    assert_equal(project.killed_and_resumed(*SMALL, after_steps=after_steps), expected)


@pytest.mark.long
def test_the_readmes_commands_run_and_the_first_learns(tmp_path: Path) -> None:
    project = copied("lbfgs_sines", tmp_path)
    complete_the_readmes_commands(project)
    assert final(run_directories(project)[0])["final/val/error"] < 1e-3
