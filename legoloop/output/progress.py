"""What the terminal shows while a run goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any

from legoloop.core.contracts import Counts, Scalars, Source
from legoloop.core.plugin import State
from legoloop.core.step import Step
from legoloop.output.scalar_writer import ScalarWriter


class Progress(ScalarWriter):
    """A line for every report; on a terminal also a bar that moves with the samples.

    ``epoch_size`` is the number of samples of an epoch, ``num_epochs`` the number of epochs; both
    only for show, None if not known.

    >>> from legoloop.training.counter import Counter
    >>> class Half:
    ...     def scalars(self): return {"val/accuracy": 0.5}
    >>> progress = Progress(Counter(), Half(), num_epochs=8)
    >>> progress.train_start(); progress.epoch_end()  # doctest: +ELLIPSIS
    epoch 0/8  step 0  val/accuracy 0.5  ... s
    """

    def __init__(
        self,
        counter: Counts,
        sources: Source | Iterable[Source],
        num_epochs: int | None = None,
        epoch_size: int | None = None,
    ) -> None:
        super().__init__(counter, sources)
        self.num_epochs = num_epochs
        self.epoch_size = epoch_size
        self._now = time.monotonic()
        self._seconds = 0.0  # of the training up to now, those before a resume included
        self._samples = 0  # of the epoch under way
        self._bar: Any = None

    def train_start(self) -> None:
        """Start the clock, and on a terminal the bar."""
        self._now = time.monotonic()
        if sys.stdout.isatty():
            self._bar = _started_bar()
            if self._samples:
                self._show_epoch()

    def epoch_start(self) -> None:
        """An empty bar."""
        self._show_epoch()

    def batch_end(self, step: Step) -> None:
        """Move the bar."""
        self._tick()
        self._samples += step.size
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], step.size)

    def epoch_end(self) -> None:
        """Report the epoch, and none is under way."""
        super().epoch_end()
        self._samples = 0

    def write(self, step: int, scalars: Scalars) -> None:
        """One line."""
        shown = "  ".join(f"{tag} {value:.4g}" for tag, value in scalars.items())
        self._tick()
        line = f"{self._epoch(self.counter.epochs)}  step {step}  {shown}  {self._seconds:.1f} s"
        if self._bar is None:
            print(line, flush=True)
        else:
            self._bar.console.out(line, highlight=False)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def state_dict(self) -> State:
        """The clock, and how far the epoch has come."""
        return {**super().state_dict(), "seconds": self._seconds, "samples": self._samples}

    def load_state_dict(self, state: State) -> None:
        """Go on from there."""
        super().load_state_dict(state)
        self._seconds, self._samples = state["seconds"], state["samples"]

    def _tick(self) -> None:
        now = time.monotonic()
        self._seconds += now - self._now
        self._now = now

    def _show_epoch(self) -> None:
        if self._bar is not None:
            self._bar.reset(
                self._bar.task_ids[0],
                total=self.epoch_size,
                completed=self._samples,
                description=self._epoch(self.counter.epochs + 1),
            )

    def _epoch(self, number: int) -> str:
        return f"epoch {number}" + ("" if self.num_epochs is None else f"/{self.num_epochs}")


def _started_bar() -> Any:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        transient=True,
    )
    bar.add_task("", total=None)
    bar.start()
    return bar
