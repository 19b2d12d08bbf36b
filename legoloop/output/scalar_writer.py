"""What every writer of scalars does: read its sources when there is something to report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from legoloop.core.contracts import Counts, Scalars, Source
from legoloop.core.errors import DataError


class ScalarWriter(ABC):
    """Reads its sources at the end of every epoch and of the training, and writes what is new.

    Subclasses define ``write(step, scalars)``. Each tag is written once for each step. Raises
    DataError if two sources report the same tag.

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

    def __init__(self, counter: Counts, sources: Source | Iterable[Source]) -> None:
        self.counter = counter
        self.sources = [sources] if isinstance(sources, Source) else list(sources)
        self._step = -1
        self._written: set[str] = set()

    @abstractmethod
    def write(self, step: int, scalars: Scalars) -> None:
        """Write scalars of this step, none of them written before."""

    def epoch_end(self) -> None:
        """Report the epoch."""
        self._report()

    def train_end(self) -> None:
        """Report what was measured at the end."""
        self._report()

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
        for source in self.sources:
            scalars = source.scalars()
            if twice := sorted(collected.keys() & scalars.keys()):
                raise DataError(
                    f"two sources report '{twice[0]}'; give one of them a prefix of its own"
                )
            collected.update(scalars)
        return collected
