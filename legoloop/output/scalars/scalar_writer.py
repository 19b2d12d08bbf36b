"""What every writer of scalars does: read its sources when there is something to report."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable

from legoloop.core.arguments import at_least
from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.monitor import as_list
from legoloop.core.protocols import Scalars, ScalarSource, TrainingProgress
from legoloop.core.rng import preserved_rng
from legoloop.loop.plugin import State
from legoloop.loop.step import Step

log = logging.getLogger("legoloop")


class ScalarWriter(ABC):
    """Reads its sources at the end of every epoch and of the training, and writes what is new.

    ``every_steps``: also after each so many steps; what a mean over the epoch says then is the mean
    so far, and an evaluation has nothing new to say.

    Subclasses define ``write(step, scalars)``; one that keeps reports back, to write several
    together, also ``catch_up()``, which is called at the end and before a state is told. Each tag
    is written once for each step, after a resume too: one that keeps something of its own adds it
    to ``state_dict()``. Raises ArgumentError for a source without ``scalars()`` and for a number of
    steps less than 1, DataError if two sources report the same tag, be it at different moments:
    what one of them says would be lost.

    >>> from legoloop.training.counter import Counter
    >>> class Printer(ScalarWriter):
    ...     def write(self, step, scalars): print(step, scalars)
    >>> class Half:
    ...     def scalars(self): return {"half": 0.5}
    >>> printer = Printer(Counter(), sources=[Half()])
    >>> printer.epoch_end()
    0 {'half': 0.5}
    >>> printer.train_end()
    """

    def __init__(
        self,
        counter: TrainingProgress,
        sources: ScalarSource | Iterable[ScalarSource],
        every_steps: int | None = None,
    ) -> None:
        if every_steps is not None:
            at_least(1, every_steps=every_steps)
        self.counter = counter
        self.every_steps = every_steps
        self.sources = list({id(source): source for source in as_list(sources)}.values())
        for source in self.sources:
            if not isinstance(source, ScalarSource):
                raise ArgumentError(
                    f"{type(self).__name__}: a source has scalars(), "
                    f"a {type(source).__name__} has not"
                )
        self._step = -1
        self._written: set[str] = set()
        self._reporters: dict[str, int] = {}  # by their number in sources

    @abstractmethod
    def write(self, step: int, scalars: Scalars) -> None:
        """Write scalars of this step, none of them written before."""

    def batch_end(self, step: Step) -> None:
        """Report the epoch so far, if it is time."""
        if self.every_steps and self.counter.steps % self.every_steps == 0:
            with preserved_rng():
                self._report()

    def epoch_end(self) -> None:
        """Report the epoch."""
        self._report()

    def train_end(self) -> None:
        """Report what was measured at the end."""
        self._report()
        self.catch_up()

    def catch_up(self) -> None:  # noqa: B027 (most keep nothing back)
        """Put what was kept back where it belongs."""

    def close(self) -> None:
        """What a run reported that did not come to its end."""
        try:
            self.catch_up()
        except DataError as error:  # that run has an error of its own
            log.warning("%s", error)

    def state_dict(self) -> State:
        """The tags written at this step, each with the number of the source that reported it."""
        self.catch_up()
        return {
            "step": self._step,
            "written": {tag: self._reporters[tag] for tag in sorted(self._written)},
        }

    def load_state_dict(self, state: State) -> None:
        """Write nothing of it again."""
        self._step = state["step"]
        self._written = set(state["written"])
        self._reporters = dict(state["written"])

    def _report(self) -> None:
        if self.counter.steps != self._step:
            self._step, self._written = self.counter.steps, set()
        scalars = {
            tag: value for tag, value in self._collected().items() if tag not in self._written
        }
        if scalars:
            self.write(self._step, scalars)
            self._written.update(scalars)

    def _collected(self) -> Scalars:
        collected: Scalars = {}
        for number, source in enumerate(self.sources):
            for tag, value in source.scalars().items():
                if self._reporters.setdefault(tag, number) != number:
                    raise DataError(
                        f"two sources report '{tag}'; give one of them a prefix of its own"
                    )
                collected[tag] = float(value)
        return collected
