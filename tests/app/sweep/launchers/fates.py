"""A plugin that says what becomes of the job that has it."""

from __future__ import annotations

import os
import signal

from legoloop.core.protocols import TrainingProgress


class Fate:
    """Raises, or sends the signal FATE to this process, at the end of its second epoch.

    Other keys of the job refer to ``width``, ``lr`` and ``epochs``.
    """

    def __init__(
        self,
        counter: TrainingProgress,
        kind: str = "calm",
        width: int = 8,
        lr: float = 0.01,
        epochs: int = 3,
    ) -> None:
        self.counter = counter
        self.kind = kind

    def epoch_end(self) -> None:
        if self.counter.epochs != 2:
            return
        if self.kind == "raises":
            raise ValueError("it was to be")
        if self.kind == "told" and "FATE" in os.environ:
            os.kill(os.getpid(), signal.Signals[os.environ["FATE"]])
