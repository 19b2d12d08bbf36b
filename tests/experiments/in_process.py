"""The worked examples, composed in this process: compared with loops, killed and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import legoloop as ll
from legoloop.state.checkpoints import checkpoints_in, read_checkpoint
from tests.experiments.projects import EXPERIMENTS


class Dies:
    """Ends a run within a step, as a kill would; nothing is saved any more."""

    def __init__(self, after_steps: int) -> None:
        self.after_steps = after_steps

    def batch_end(self, step: ll.Step) -> None:
        self.after_steps -= 1
        if self.after_steps == 0:
            raise KilledError


class KilledError(Exception):
    """What ``Dies`` raises."""


class Project:
    """An example; its package is found while the test runs.

    Args:
        name: the folder under ``experiments``.
        folder: where the runs are.
    """

    def __init__(self, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.conf = EXPERIMENTS / name / "conf"
        self.folder = folder
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(EXPERIMENTS / name)

    def app(self, run: str, *overrides: str) -> Any:
        """The app of a run, in a folder of that name."""
        given = ["loggers=[csv]", f"hydra.run.dir={self.folder / run}", *overrides]
        return ll.compose(given, config_dir=self.conf)

    def killed_and_resumed(self, *overrides: str, after_steps: int) -> dict[str, torch.Tensor]:
        """The final weights of a run that was killed once, and went on from its checkpoint."""
        dies = f"{Dies.__module__}.Dies"
        app = self.app(
            "killed", *overrides, f"+plugins.dies={{_target_: {dies}, after_steps: {after_steps}}}"
        )
        with pytest.raises(KilledError):
            app.host().run()
        newest = next(iter(checkpoints_in(self.folder / "killed" / "checkpoints")))
        resumed = self.app("resumed", *overrides)
        resumed.host().load_state_dict(read_checkpoint(newest))
        resumed.host().run()
        return torch.load(self.folder / "resumed" / "weights")


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """Bit for bit."""
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
