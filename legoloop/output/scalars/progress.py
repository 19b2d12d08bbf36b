"""Progress of the training on the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Protocol

from legoloop.core.output_streams import tolerant_output
from legoloop.core.protocols import Scalars, ScalarSource, TrainingProgress
from legoloop.core.rng import preserved_rng
from legoloop.core.text import printable
from legoloop.loop.plugin import State
from legoloop.loop.step import Step
from legoloop.output.scalars.scalar_writer import ScalarWriter
from legoloop.output.scalars.throttle import Throttle

BAR_INTERVAL = 0.1
"""Seconds, at least, between two updates of the bar."""
MAX_BAR_FRACTION = 0.002
"""The share of the time that they may take: on a slow terminal the bar moves less often."""


class HasSamples(Protocol):
    """A stream that knows how many samples a pass has, such as a BatchStream."""

    @property
    def samples(self) -> int:
        """The number of samples of a pass."""
        ...


class Progress(ScalarWriter):
    """Prints a line for every report; on a terminal it also shows a progress bar.

    Both show the scalars, the samples per second of the training, and the estimated time left. The
    bar reads the sources at most ten times a second, and only then waits for the device. Without a
    TTY there is no bar, and metrics are read only when a line is printed.

    Args:
        counter: tells step and epoch.
        sources: one or several plugins with ``scalars()``.
        num_epochs: of the training; None: unknown, there is no estimate.
        epoch_size: samples of an epoch; None: those of a pass of ``stream``.
        stream: what an epoch without ``epoch_size`` passes over once; None: unknown.
        every_steps: also print after every so many steps; None: only at the end of epochs.

    Raises:
        ArgumentError: for a source without ``scalars()``, or ``every_steps`` below 1.
        DataError: if two sources report the same tag.

    >>> from legoloop.training.counter import Counter
    >>> class Half:
    ...     def scalars(self): return {"val/accuracy": 0.5}
    >>> progress = Progress(Counter(), Half(), num_epochs=8)
    >>> progress.train_start(); progress.epoch_end()  # doctest: +ELLIPSIS
    epoch 0/8  step 0  val/accuracy 0.5  ... s
    """

    def __init__(
        self,
        counter: TrainingProgress,
        sources: ScalarSource | Iterable[ScalarSource],
        num_epochs: int | None = None,
        epoch_size: int | None = None,
        stream: HasSamples | None = None,
        every_steps: int | None = None,
    ) -> None:
        super().__init__(counter, sources, every_steps)
        self.num_epochs = num_epochs
        self.epoch_size = getattr(stream, "samples", None) if epoch_size is None else epoch_size
        self._seconds_before = 0.0  # of earlier attempts
        self._began = self._now = time.monotonic()
        self._samples = 0  # of the epoch under way
        self._trains_since = 0, self._now  # samples, time
        self._speed: float | None = None  # of the epoch that is reported
        self._bar: Any = None
        self._is_over = False
        self._throttle = Throttle(MAX_BAR_FRACTION, BAR_INTERVAL)

    def train_start(self) -> None:
        super().train_start()
        self._seconds_before = self._seconds
        self._began = self._now = time.monotonic()
        self._trains_since = self._samples, self._now
        if sys.stdout is not None and sys.stdout.isatty():
            from legoloop.output.scalars.progress_bar import ProgressBar

            self._bar = ProgressBar()
            self._throttle = Throttle(MAX_BAR_FRACTION, BAR_INTERVAL)
            self._show_epoch()

    def epoch_start(self) -> None:
        self._now = time.monotonic()
        self._trains_since = self._samples, self._now
        self._show_epoch()

    def batch_end(self, step: Step) -> None:
        self._samples += step.size
        self._now = time.monotonic()
        if self._bar is not None and self._throttle.is_due():
            self._update_bar()
        super().batch_end(step)

    def epoch_end(self) -> None:
        self._speed, self._samples = self._samples_per_second(), 0
        self._trains_since = 0, self._now
        super().epoch_end()
        self._speed = None

    def write(self, step: int, scalars: Scalars) -> None:
        """Print one line."""
        speed = self._speed or self._samples_per_second()
        self._now = time.monotonic()
        epoch = self.counter.epochs + (self._samples > 0)
        seconds = f"{self._seconds:.1f} s"
        columns = [*_format_scalars(scalars), seconds, *_format_speed(speed), *self._time_left()]
        line = "  ".join([self._epoch(epoch), f"step {step}", *columns])
        if self._bar is None:
            with tolerant_output():
                print(line, flush=True)
        else:
            self._bar.print(line)

    def train(self) -> None:
        """The training is over, perhaps before ``num_epochs``: there is no time left to show."""
        self._is_over = True

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def state_dict(self) -> State:
        return {**super().state_dict(), "seconds": self._seconds, "samples": self._samples}

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        self._seconds_before, self._samples = state["seconds"], state["samples"]
        self._began = self._now

    @property
    def _seconds(self) -> float:
        """Of the training, up to the last time that the clock was read."""
        return self._seconds_before + (self._now - self._began)

    def _samples_per_second(self) -> float | None:
        samples, since = self._trains_since
        trained, seconds = self._samples - samples, self._now - since
        return trained / seconds if trained and seconds else None

    def _time_left(self) -> list[str]:
        """An estimate from the epochs so far."""
        done = self.counter.epochs + (self._samples / self.epoch_size if self.epoch_size else 0)
        if self._is_over or self.num_epochs is None or not 0 < done < self.num_epochs:
            return []
        seconds = self._seconds / done * (self.num_epochs - done)
        return [f"{timedelta(seconds=round(seconds))} left"]

    def _show_epoch(self) -> None:
        if self._bar is not None:
            self._show([])

    def _update_bar(self) -> None:
        with self._throttle.timed():
            with preserved_rng():
                scalars = {tag: v for source in self.sources for tag, v in source.scalars().items()}
            speed = _format_speed(self._samples_per_second())
            self._show([*_format_scalars(scalars), *speed, *self._time_left()])

    def _show(self, columns: list[str]) -> None:
        epoch = self._epoch(self.counter.epochs + 1)
        self._bar.show(epoch, self._samples, self.epoch_size, "  ".join(columns))

    def _epoch(self, number: int) -> str:
        return f"epoch {number}" + ("" if self.num_epochs is None else f"/{self.num_epochs}")


def _format_scalars(scalars: Mapping[str, float]) -> list[str]:
    return [f"{printable(tag)} {float(value):.4g}" for tag, value in scalars.items()]


def _format_speed(samples_per_second: float | None) -> list[str]:
    return [] if samples_per_second is None else [f"{samples_per_second:.0f} samples/s"]
