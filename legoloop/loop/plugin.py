"""What a plugin looks like, and what a stage may ask of the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from legoloop.loop.step import Step

State = dict[str, Any]


@dataclass(frozen=True)
class ShouldStop:
    """Returned from a stage: end the training at the next batch, for this reason.

    >>> ShouldStop("3 epochs are done").reason
    '3 epochs are done'
    """

    reason: str


@dataclass(frozen=True)
class ShouldSave:
    """Returned from a stage: once every plugin has heard it, hand the host's state to ``save``."""

    save: Callable[[State], None]


Request = ShouldStop | ShouldSave | None


class TrainingPlugin:
    """The nine stages, all optional; subclassing this is optional too.

    A plugin is any object whose type defines some of these methods. ``*_start`` prepares, the
    middle stage does, ``*_end`` measures and reports: weights change only in middle stages.
    Initial state belongs in ``__init__``, since a resumed run hears ``train_start`` again.

    ``after`` and ``before`` name plugins, by name or class, whose place matters though neither
    holds the other. A plugin may also define ``state_dict`` / ``load_state_dict``; ``interrupted``,
    which may ask for a save when the run is asked to end from outside; and ``close``, which the
    host calls however the run ended. A state may share memory with the plugin, handed out or taken
    up, as torch's do: whoever keeps one copies it.

    >>> class CountBatches(TrainingPlugin):
    ...     def __init__(self) -> None:
    ...         self.seen = 0
    ...     def batch_end(self, step: Step) -> None:
    ...         self.seen += 1
    """

    after: ClassVar[tuple[str | type, ...]] = ()
    before: ClassVar[tuple[str | type, ...]] = ()

    def train_start(self) -> Request:
        """Before the first epoch, and before the first one of a resumed run."""

    def epoch_start(self) -> Request:
        """Before the first batch of an epoch."""

    def batch_start(self, step: Step) -> Request:
        """The step holds the batch and its size."""

    def batch(self, step: Step) -> Request:
        """The weights change here."""

    def batch_end(self, step: Step) -> Request:
        """The step holds outputs and loss too."""

    def epoch(self) -> Request:
        """The batches of the epoch run here, at the epoch driver's turn."""

    def epoch_end(self) -> Request:
        """After the last batch of an epoch: measure and report."""

    def train(self) -> Request:
        """Once, after the last epoch: restore the best weights, swap in averages."""

    def train_end(self) -> Request:
        """Final evaluation, predictions, weights."""


class EpochDriver(Protocol):
    """The one plugin that says which batches make an epoch."""

    def batches(self) -> Iterator[tuple[Any, int]]:
        """The batches of one epoch, each with its number of samples."""
        ...
