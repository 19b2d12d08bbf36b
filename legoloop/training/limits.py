"""Ends of the training other than a number of epochs."""

from __future__ import annotations

from time import monotonic

from legoloop.core.arguments import at_least
from legoloop.core.errors import ArgumentError
from legoloop.core.protocols import TrainingProgress
from legoloop.loop.plugin import ShouldStop, State
from legoloop.loop.step import Step


class LastStep:
    """Stops when so many steps are done, be it in mid-epoch; none are made for 0.

    Raises ArgumentError for a negative number.

    >>> from legoloop.training.counter import Counter
    >>> counter, step = Counter(), Step()
    >>> counter.steps = 100
    >>> LastStep(counter, 100).batch_end(step)
    ShouldStop(reason='100 steps are done')
    """

    def __init__(self, counter: TrainingProgress, num_steps: int) -> None:
        at_least(0, num_steps=num_steps)
        self.counter = counter
        self.num_steps = num_steps

    def train_start(self) -> ShouldStop | None:
        """A resumed run may have done them all."""
        return _stop_if(self.counter.steps >= self.num_steps, f"{self.num_steps} steps are done")

    def batch_end(self, step: Step) -> ShouldStop | None:
        """One more is done."""
        return self.train_start()


class LastSample:
    """Stops with the step that reaches so many samples, each counted as often as it was used.

    Raises ArgumentError for a negative number.

    >>> from legoloop.training.counter import Counter
    >>> counter, step = Counter(), Step()
    >>> counter.samples = 1024
    >>> LastSample(counter, 1000).batch_end(step)
    ShouldStop(reason='1000 samples are done')
    """

    def __init__(self, counter: TrainingProgress, num_samples: int) -> None:
        at_least(0, num_samples=num_samples)
        self.counter = counter
        self.num_samples = num_samples

    def train_start(self) -> ShouldStop | None:
        """A resumed run may have done them all."""
        is_done = self.counter.samples >= self.num_samples
        return _stop_if(is_done, f"{self.num_samples} samples are done")

    def batch_end(self, step: Step) -> ShouldStop | None:
        """Some more are done."""
        return self.train_start()


class TimeLimit:
    """Stops after the step during which so many seconds of training have gone by.

    Evaluations count, the time between two attempts of a resumed run does not: each goes on from
    the time at the end of the last step that was saved. What the run does after its last step,
    such as the final evaluation, comes on top.

    Raises ArgumentError for a number that is not above 0.

    >>> limit = TimeLimit(seconds=1e-9)
    >>> limit.train_start()
    >>> limit.batch_end(Step())
    ShouldStop(reason='1e-09 seconds are over')
    """

    def __init__(self, seconds: float) -> None:
        if isinstance(seconds, bool) or not seconds > 0:
            raise ArgumentError(
                f"is {seconds!r}", argument="seconds", remedy="give a number above 0"
            )
        self.seconds = seconds
        self.spent = 0.0
        self._seen_at = monotonic()

    def train_start(self) -> ShouldStop | None:
        """The clock runs; that of a resumed run may have run out."""
        self._seen_at = monotonic()
        return self._stop_if_over()

    def batch_end(self, step: Step) -> ShouldStop | None:
        """Look at the clock."""
        now = monotonic()
        self.spent += now - self._seen_at
        self._seen_at = now
        return self._stop_if_over()

    def state_dict(self) -> State:
        """The seconds up to the end of the last step."""
        return {"spent": self.spent}

    def load_state_dict(self, state: State) -> None:
        """Count on from there."""
        self.spent = state["spent"]

    def _stop_if_over(self) -> ShouldStop | None:
        return _stop_if(self.spent >= self.seconds, f"{self.seconds:g} seconds are over")


def _stop_if(is_over: bool, reason: str) -> ShouldStop | None:
    return ShouldStop(reason) if is_over else None
