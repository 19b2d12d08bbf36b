"""What the terminal shows while a run goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Protocol

from legoloop.core.protocols import Scalars, ScalarSource, TrainingProgress
from legoloop.core.rng import preserved_rng
from legoloop.loop.plugin import State
from legoloop.loop.step import Step
from legoloop.output.scalars.scalar_writer import ScalarWriter

LOOKS_A_SECOND = 10
SHARE_OF_LOOKS = 0.002
"""Of the time, at most: on a slow terminal the bar moves less often."""


class HasSamples(Protocol):
    """Such as a loop: a stream that knows how many samples a pass has."""

    @property
    def samples(self) -> int:
        """The number of samples of a pass."""
        ...


class Progress(ScalarWriter):
    """A line for every report; on a terminal also a bar that moves with the samples.

    Both tell the scalars of the sources, the samples a second that the epoch was trained with, and
    the time that the epochs to come will take if they take as long as those before. The bar asks
    the sources when it moves, ten times a second at most, and the device no more often than that.

    ``num_epochs`` is the number of epochs, ``epoch_size`` the number of samples of each; where that
    is None, an epoch is a pass of ``stream``. They are only for show, None if not known.

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
        self._seconds_before = 0.0  # this attempt began
        self._began = self._now = time.monotonic()
        self._samples = 0  # of the epoch under way
        self._trains_since = 0, self._now  # samples, time
        self._speed: float | None = None  # of the epoch that is reported
        self._bar: Any = None
        self._is_over = False
        self._next_look = float("inf")

    def train_start(self) -> None:
        """Start the clock, and on a terminal the bar."""
        self._seconds_before = self._seconds
        self._began = self._now = time.monotonic()
        self._trains_since = self._samples, self._now
        if sys.stdout.isatty():
            from legoloop.output.scalars.progress_bar import Bar

            self._bar = Bar()
            self._next_look = self._now
            self._show_epoch()

    def epoch_start(self) -> None:
        """An empty bar."""
        self._now = time.monotonic()
        self._trains_since = self._samples, self._now
        self._show_epoch()

    def batch_end(self, step: Step) -> None:
        """Look at the clock, now and then move the bar, and report if it is time."""
        self._samples += step.size
        self._now = time.monotonic()
        if self._now >= self._next_look:
            self._move_bar()
        super().batch_end(step)

    def epoch_end(self) -> None:
        """Report the epoch, and none is under way."""
        self._speed, self._samples = self._samples_a_second(), 0
        self._trains_since = 0, self._now
        super().epoch_end()
        self._speed = None

    def write(self, step: int, scalars: Scalars) -> None:
        """One line."""
        speed = self._speed or self._samples_a_second()
        self._now = time.monotonic()
        epoch = self.counter.epochs + (self._samples > 0)
        seconds = f"{self._seconds:.1f} s"
        told = [*_told(scalars), seconds, *_told_speed(speed), *self._told_rest()]
        line = "  ".join([self._epoch(epoch), f"step {step}", *told])
        if self._bar is None:
            print(line, flush=True)
        else:
            self._bar.print(line)

    def train(self) -> None:
        """No epoch is to come, however many were asked for."""
        self._is_over = True

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar, self._next_look = None, float("inf")

    def state_dict(self) -> State:
        """The clock as of the last step or report, and how far the epoch has come."""
        return {**super().state_dict(), "seconds": self._seconds, "samples": self._samples}

    def load_state_dict(self, state: State) -> None:
        """Go on from there."""
        super().load_state_dict(state)
        self._seconds_before, self._samples = state["seconds"], state["samples"]
        self._began = self._now

    @property
    def _seconds(self) -> float:
        """Of the training, up to the last look at the clock."""
        return self._seconds_before + (self._now - self._began)

    def _samples_a_second(self) -> float | None:
        samples, since = self._trains_since
        trained, seconds = self._samples - samples, self._now - since
        return trained / seconds if trained and seconds else None

    def _told_rest(self) -> list[str]:
        """How long the epochs to come will take."""
        done = self.counter.epochs + (self._samples / self.epoch_size if self.epoch_size else 0)
        if self._is_over or self.num_epochs is None or not 0 < done < self.num_epochs:
            return []
        seconds = self._seconds / done * (self.num_epochs - done)
        return [f"{timedelta(seconds=round(seconds))} left"]

    def _show_epoch(self) -> None:
        if self._bar is not None:
            self._show(told=[])

    def _move_bar(self) -> None:
        with preserved_rng():
            scalars = {tag: v for source in self.sources for tag, v in source.scalars().items()}
        self._show([*_told(scalars), *_told_speed(self._samples_a_second()), *self._told_rest()])
        ended = time.monotonic()
        pause = max(1 / LOOKS_A_SECOND, (ended - self._now) / SHARE_OF_LOOKS)
        self._next_look = ended + pause

    def _show(self, told: list[str]) -> None:
        epoch = self._epoch(self.counter.epochs + 1)
        self._bar.show(epoch, self._samples, self.epoch_size, "  ".join(told))

    def _epoch(self, number: int) -> str:
        return f"epoch {number}" + ("" if self.num_epochs is None else f"/{self.num_epochs}")


def _told(scalars: Mapping[str, float]) -> list[str]:
    return [f"{tag} {float(value):.4g}" for tag, value in scalars.items()]


def _told_speed(samples_a_second: float | None) -> list[str]:
    return [] if samples_a_second is None else [f"{samples_a_second:.0f} samples/s"]
