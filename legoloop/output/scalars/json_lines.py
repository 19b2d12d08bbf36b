"""Scalars as JSON, a line a report."""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import isfinite
from pathlib import Path

from legoloop.core.protocols import Scalars, ScalarSource, TrainingProgress
from legoloop.loop.plugin import State
from legoloop.output.scalars.scalar_file import ScalarFile


class JsonLines(ScalarFile):
    """Writes the scalars of the sources to a file of JSON lines: step, epoch, then the scalars.

    An object is what was new at a report, so a step may have two: one after its epoch, one at the
    end. Numbers read back exactly; one that is not finite, which JSON has no word for, is null.
    The file is whole whenever it is looked at; reports that follow each other quickly are put on
    the disk together. A resumed run takes out of it what the attempt before it wrote beyond the
    saved state.

    >>> import tempfile
    >>> from legoloop.training.counter import Counter
    >>> class Third:
    ...     def scalars(self): return {"third": 1 / 3, "ratio": float("inf")}
    >>> path = Path(tempfile.mkdtemp()) / "metrics.jsonl"
    >>> JsonLines(path, Counter(), Third()).epoch_end()
    >>> print(path.read_text().strip())
    {"step": 0, "epoch": 0, "third": 0.3333333333333333, "ratio": null}
    """

    def __init__(
        self,
        path: str | Path,
        counter: TrainingProgress,
        sources: ScalarSource | Iterable[ScalarSource],
        every_steps: int | None = None,
    ) -> None:
        super().__init__(path, counter, sources, every_steps)
        self._lines: list[str] = []

    def train_start(self) -> None:
        """Put the file in the state of a resumed run."""
        if self._lines:
            self.write_file()

    def write(self, step: int, scalars: Scalars) -> None:
        """One line."""
        finite = {tag: value if isfinite(value) else None for tag, value in scalars.items()}
        report = {"step": step, "epoch": self.counter.epochs, **finite}
        self._lines.append(json.dumps(report) + "\n")
        self.reported()

    def lines(self) -> list[str]:
        """A line a report."""
        return self._lines

    def state_dict(self) -> State:
        """The lines."""
        return {**super().state_dict(), "lines": self._lines}

    def load_state_dict(self, state: State) -> None:
        """Go on from these lines."""
        super().load_state_dict(state)
        self._lines = list(state["lines"])
