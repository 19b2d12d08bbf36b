"""Scalars in a JSON Lines file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import isfinite
from pathlib import Path

from legoloop.core.growing_state import as_text, from_text
from legoloop.core.protocols import Scalars, ScalarSource, TrainingProgress
from legoloop.loop.plugin import State
from legoloop.output.scalars.scalar_file import ScalarFile


class JsonLines(ScalarFile):
    """Writes scalars to a JSON Lines file: an object of step, epoch and scalars for each report.

    An object holds what was new, so a step may have two: one after its epoch, one at the end.
    Numbers read back exactly; nan and infinity, which JSON does not have, become null. The file is
    replaced atomically, at most 1% of the time is spent on it, and at a checkpoint and at the end
    it is complete. A resumed run drops lines that were written after the checkpoint.

    Args:
        path: the file; missing folders are created.
        counter: tells step and epoch.
        sources: one or several plugins with ``scalars()``.
        every_steps: also write after every so many steps; None: only at the end of epochs.

    Raises:
        ArgumentError: for a source without ``scalars()``, or ``every_steps`` below 1.
        DataError: for a scalar named ``step`` or ``epoch``, two of the same tag, or a file that
            cannot be written.

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

    def write(self, step: int, scalars: Scalars) -> None:
        """Add a line."""
        finite = {tag: value if isfinite(value) else None for tag, value in scalars.items()}
        report = {"step": step, "epoch": self.counter.epochs, **finite}
        self._lines.append(json.dumps(report) + "\n")
        self.mark_dirty()

    def lines(self) -> list[str]:
        """One for each report."""
        return self._lines

    def state_dict(self) -> State:
        return {**super().state_dict(), "lines": as_text(self._lines)}

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        self._lines = list(from_text(state["lines"]))
