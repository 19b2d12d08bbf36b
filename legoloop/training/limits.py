"""Limits on the steps, samples and seconds of a training."""

from __future__ import annotations

from legoloop.core.arguments import at_least
from legoloop.core.errors import ArgumentError
from legoloop.core.protocols import TrainingProgress
from legoloop.core.ranks import current_ranks
from legoloop.loop.plugin import ShouldStop, State
from legoloop.loop.step import Step


class LastStep:
    """Stops after a number of steps, also in the middle of an epoch.

    Args:
        counter: counts the steps.
        num_steps: the number of steps; 0: none are made.

    Raises ArgumentError for a negative number.

    >>> from legoloop.training.counter import Counter
    >>> counter, step = Counter(), Step()
    >>> counter.steps = 100
    >>> LastStep(counter, 100).batch_end(step)
    ShouldStop(reason='100 steps are done')
    """

    supports_ranks = True
    supports_members = True

    def __init__(self, counter: TrainingProgress, num_steps: int) -> None:
        at_least(0, num_steps=num_steps)
        self.counter = counter
        self.num_steps = num_steps

    def train_start(self) -> ShouldStop | None:
        """Stop at once if a resumed run is there already."""
        return _stop_if(self.counter.steps >= self.num_steps, f"{self.num_steps} steps are done")

    def batch_end(self, step: Step) -> ShouldStop | None:
        return self.train_start()


class LastSample:
    """Stops after the step that reaches a number of samples.

    Args:
        counter: counts the samples, each as often as it is used.
        num_samples: the number of samples.

    Raises ArgumentError for a negative number.

    >>> from legoloop.training.counter import Counter
    >>> counter, step = Counter(), Step()
    >>> counter.samples = 1024
    >>> LastSample(counter, 1000).batch_end(step)
    ShouldStop(reason='1000 samples are done')
    """

    supports_ranks = True
    supports_members = True

    def __init__(self, counter: TrainingProgress, num_samples: int) -> None:
        at_least(0, num_samples=num_samples)
        self.counter = counter
        self.num_samples = num_samples

    def train_start(self) -> ShouldStop | None:
        """Stop at once if a resumed run is there already."""
        is_done = self.counter.samples >= self.num_samples
        return _stop_if(is_done, f"{self.num_samples} samples are done")

    def batch_end(self, step: Step) -> ShouldStop | None:
        return self.train_start()


class TimeLimit:
    """Stops after the step during which the time is over.

    Evaluations count, the time between two attempts of a resumed run does not: each continues from
    the time at the last saved step. What the run does after its last step comes on top.

    Args:
        seconds: the time limit, above 0.

    Raises ArgumentError for another number.

    >>> limit = TimeLimit(seconds=1e-9)
    >>> limit.train_start()
    >>> limit.batch_end(Step())
    ShouldStop(reason='1e-09 seconds are over')
    """

    supports_ranks = True
    supports_members = True

    def __init__(self, seconds: float) -> None:
        if isinstance(seconds, bool) or not seconds > 0:
            raise ArgumentError(
                f"is {seconds!r}", argument="seconds", remedy="give a number above 0"
            )
        self.seconds = seconds
        self.spent = 0.0
        self._seen_at = current_ranks().clock()

    def train_start(self) -> ShouldStop | None:
        """Start the clock; stop at once if the time of a resumed run is over."""
        self._seen_at = current_ranks().clock()
        return self._stop_if_over()

    def batch_end(self, step: Step) -> ShouldStop | None:
        now = current_ranks().clock()
        self.spent += now - self._seen_at
        self._seen_at = now
        return self._stop_if_over()

    def state_dict(self) -> State:
        """The seconds spent up to the end of the last step."""
        return {"spent": self.spent}

    def load_state_dict(self, state: State) -> None:
        self.spent = state["spent"]

    def _stop_if_over(self) -> ShouldStop | None:
        return _stop_if(self.spent >= self.seconds, f"{self.seconds:g} seconds are over")


def _stop_if(is_over: bool, reason: str) -> ShouldStop | None:
    return ShouldStop(reason) if is_over else None
