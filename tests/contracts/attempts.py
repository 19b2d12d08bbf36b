"""A run that is killed and goes on, in one process."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import legoloop as ll
from legoloop.state.checkpoints import read_checkpoint, write_checkpoint
from tests.contracts.test_resume import Fuse, Killed

Outcome = tuple[Any, ...]


@dataclass
class Attempts(ABC):
    """One run, in as many attempts as it takes; what it ends with is compared."""

    folder: Path
    save_every: int = 1
    saved: dict[str, Any] | None = None
    stages: int = 0

    @abstractmethod
    def made(self, fuse: Fuse) -> tuple[ll.TrainingHost, Callable[[], Outcome]]:
        """A fresh host that burns the fuse and saves, and what is left once it has run."""

    def attempt(self, kill_at: int | None = None) -> Outcome | None:
        """Go on from the last save, in fresh objects; None if it is killed."""
        fuse = Fuse(kill_at)
        host, outcome = self.made(fuse)
        if self.saved is not None:
            write_checkpoint(self.folder / "checkpoint", self.saved)
            host.load_state_dict(read_checkpoint(self.folder / "checkpoint"))
        try:
            host.run()
        except Killed:
            return None
        finally:
            self.stages = fuse.burnt
        return *outcome(), torch.rand(()).item()

    def save(self, state: dict[str, Any]) -> None:
        self.saved = copy.deepcopy(state)
