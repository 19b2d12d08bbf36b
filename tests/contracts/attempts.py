"""A run that is killed and goes on, in one process."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
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
    saved_at: list[int] = field(default_factory=list)
    fuse: Fuse = field(default_factory=lambda: Fuse(None))

    @property
    def stages(self) -> int:
        """How many the last attempt went through."""
        return self.fuse.burnt

    @abstractmethod
    def made(self, fuse: Fuse) -> tuple[ll.TrainingHost, Callable[[], Outcome]]:
        """A fresh host that burns the fuse and saves, and what is left once it has run."""

    def attempt(self, kill_at: int | None = None) -> Outcome | None:
        """Go on from the last save, in fresh objects; None if it is killed."""
        self.fuse = Fuse(kill_at)
        host, outcome = self.made(self.fuse)
        if self.saved is not None:
            write_checkpoint(self.folder / "checkpoint", self.saved)
            host.load_state_dict(read_checkpoint(self.folder / "checkpoint"))
        try:
            host.run()
        except Killed:
            return None
        return *outcome(), torch.rand(()).item()

    def save(self, state: dict[str, Any]) -> None:
        self.saved = copy.deepcopy(state)
        self.saved_at.append(self.stages)

    def kills(self) -> list[int]:
        """For an uninterrupted run, a kill before the first save and one after each.

        Whatever comes between two saves, the run goes on from the same state: one kill is enough,
        each at another place.
        """
        bounds = pairwise([0, *self.saved_at, self.stages])
        return [
            begin + 1 + number % (end - begin)
            for number, (begin, end) in enumerate(bounds)
            if begin < end
        ]
