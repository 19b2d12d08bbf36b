"""Base class of the scalar writers (loggers)."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable

from legoloop.core.arguments import at_least
from legoloop.core.as_constructed import class_name
from legoloop.core.errors import ArgumentError, DataError
from legoloop.core.monitor import as_list
from legoloop.core.on_evaluation import EvaluationHook
from legoloop.core.protocols import Scalars, ScalarSource, TrainingProgress
from legoloop.core.rng import preserved_rng
from legoloop.loop.plugin import State
from legoloop.loop.step import Step

log = logging.getLogger("legoloop")


class ScalarWriter(ABC):
    """Base class for loggers: reads the sources after each epoch and at the end of the training.

    Within an epoch it reads what has been evaluated there, and all of them after ``every_steps``.

    Subclasses define ``write(step, scalars)``, which gets each tag once per step, after a resume
    too. One that buffers also defines ``flush()``, called at the end of the training and before
    ``state_dict()`` is taken. One whose output outlives the process also adds what it has written
    to ``state_dict()`` and defines ``restore()``.

    Args:
        counter: tells the step.
        sources: one or several plugins with ``scalars()``.
        every_steps: also write after every so many steps; a mean over the epoch is then the mean
            so far. None: only at the end of epochs, and where there is an evaluation.

    Raises:
        ArgumentError: for a source without ``scalars()``, or ``every_steps`` below 1.
        DataError: if two sources report the same tag, even at different times: one value would be
            lost.

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

    supports_ranks = True
    supports_members = True

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
                    f"{type(self).__name__}: a source must have a method scalars(); "
                    f"{type(source).__name__} has none"
                )
        self._step = -1
        self._written: set[str] = set()
        self._source_of_tag: dict[str, int] = {}  # the position in sources
        self._is_resumed = False

    @abstractmethod
    def write(self, step: int, scalars: Scalars) -> None:
        """Write scalars of this step, by tag; none of them was written for it before."""

    def train_start(self) -> None:
        if self._is_resumed:
            self.restore()
            self._is_resumed = False

    def batch_end(self, step: Step) -> None:
        if self.every_steps and self.counter.steps % self.every_steps == 0:
            with preserved_rng():
                self._report()

    def within_epoch(self) -> None:
        self._report(evaluated_alone=True)

    def epoch_end(self) -> None:
        self._report()

    def train_end(self) -> None:
        self._report()
        self.flush()

    def flush(self) -> None:  # noqa: B027 (most do not buffer)
        """Write what is buffered."""

    def flush_for_checkpoint(self) -> None:
        """Write what is buffered before the state is saved, from which ``restore`` can write it."""
        self.flush()

    def restore(self) -> None:  # noqa: B027 (some write nothing that lasts)
        """Make the output that of the loaded state.

        A killed attempt has usually written more, after its last checkpoint.
        """

    def close(self) -> None:
        try:
            self.flush()
        except DataError as error:  # a run that failed has an error of its own
            log.warning("%s", error)

    def state_dict(self) -> State:
        self.flush_for_checkpoint()
        return {
            "step": self._step,
            "written": sorted(self._written),
            "source_of_tag": dict(self._source_of_tag),
            "sources": [_identity(source) for source in self.sources],
        }

    def load_state_dict(self, state: State) -> None:
        self._step = state["step"]
        self._written = set(state["written"])
        if state.get("sources") == [_identity(source) for source in self.sources]:
            self._source_of_tag = dict(state["source_of_tag"])
        self._is_resumed = True

    def _report(self, evaluated_alone: bool = False) -> None:
        if self.counter.steps != self._step:
            self._step, self._written = self.counter.steps, set()
        scalars = {
            tag: value
            for tag, value in self._read_sources(evaluated_alone).items()
            if tag not in self._written
        }
        if scalars:
            self.write(self._step, scalars)
            self._written.update(scalars)

    def _read_sources(self, evaluated_alone: bool) -> Scalars:
        scalars: Scalars = {}
        for position, source in enumerate(self.sources):
            if evaluated_alone and not isinstance(source, EvaluationHook):
                continue
            for tag, value in source.scalars().items():
                if self._source_of_tag.setdefault(tag, position) != position:
                    raise DataError(f"two sources report '{tag}'; set a prefix for one of them")
                scalars[tag] = float(value)
        return scalars


def _identity(source: object) -> str:
    """Tells a source from others in another process, where there may be more or fewer of them."""
    texts = {
        key: text for key, text in getattr(source, "__dict__", {}).items() if isinstance(text, str)
    }
    return f"{class_name(source)} {texts}"
