"""Runs that are composed, killed in this process at a step, and go on in the same directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import legoloop as ll

SAVING = "plugins.checkpoints.every_steps=1"


class Killed(Exception):
    """What ends the process of a run, as far as the run can tell."""


def trained(run: Path, *overrides: str, config_dir: Path | None = None) -> Any:
    """The app of a run that was trained, or goes on, in a directory."""
    app = ll.compose([*overrides, f"hydra.run.dir={run}", SAVING], config_dir=config_dir)
    app.host().run()
    return app


def killed(run: Path, after: int, *overrides: str, config_dir: Path | None = None) -> None:
    """A run that dies in the step after so many."""
    made, step = 0, ll.GradientDescent.batch

    def batch(self: Any, given: Any) -> None:
        nonlocal made
        if made == after:
            raise Killed
        made += 1
        step(self, given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ll.GradientDescent, "batch", batch)
        with pytest.raises(Killed):
            trained(run, *overrides, config_dir=config_dir)


def what_is_left(run: Path) -> dict[str, Any]:
    """The final weights, and the metrics as they were written."""
    weights = {name: value.tolist() for name, value in torch.load(run / "weights").items()}
    return {**weights, "metrics": (run / "metrics.csv").read_text()}


def assert_a_killed_run_leaves_the_same(
    folder: Path, after: int, *overrides: str, config_dir: Path | None = None
) -> Any:
    """As one that is not killed: weights and metrics, to the last bit; the app of that one."""
    app = trained(folder / "whole", *overrides, config_dir=config_dir)
    killed(folder / "killed", after, *overrides, config_dir=config_dir)
    assert not (folder / "killed" / "weights").exists()
    trained(folder / "killed", *overrides, config_dir=config_dir)
    assert what_is_left(folder / "killed") == what_is_left(folder / "whole")
    return app
