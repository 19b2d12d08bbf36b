"""The interface of plugins, and what a hook may request of the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from legoloop.loop.step import Step

State = dict[str, Any]
Ending = Literal["COMPLETED", "PRUNED"]
"""How a training that was not disturbed ends."""


@dataclass(frozen=True)
class ShouldStop:
    """Returned from a hook: end the training at the next batch.

    Args:
        reason (str): why; logged and recorded.

    >>> ShouldStop("3 epochs are done").reason
    '3 epochs are done'
    """

    reason: str
    ends_as: ClassVar[Ending] = "COMPLETED"


@dataclass(frozen=True)
class ShouldPrune(ShouldStop):
    """Returned from a hook: end the training at the next batch, since it is not worth its time.

    All that follows a training is done as ever, and the run is recorded as PRUNED.

    Args:
        reason (str): why; logged and recorded.

    >>> ShouldPrune("worse than most").ends_as
    'PRUNED'
    """

    ends_as: ClassVar[Ending] = "PRUNED"


@dataclass(frozen=True)
class ShouldSave:
    """Returned from a hook: save the host's state once all hooks of the stage were called.

    Args:
        save (Callable[[dict], None]): is given the state.
        only_at_end (bool): whether to save only if the training ends here; then no state is taken
            where it goes on.
    """

    save: Callable[[State], None]
    only_at_end: bool = False


@dataclass(frozen=True)
class ShouldEvaluate:
    """Returned from a hook of a batch stage: call ``within_epoch`` before the next batch.

    >>> class AtPowersOfTen:
    ...     def __init__(self, counter): self.counter = counter
    ...     def batch_end(self, step):
    ...         if self.counter.steps in (10, 100, 1000):
    ...             return ShouldEvaluate()
    """


Request = ShouldStop | ShouldSave | ShouldEvaluate | None


class TrainingPlugin:
    """The ten stages, all optional; subclassing this is optional too.

    A plugin is any object whose type defines some of these methods, its hooks. ``*_start``
    prepares, the middle stage does, ``*_end`` measures and reports: weights change only in middle
    stages. Initial state belongs in ``__init__``, since ``train_start`` is called again on resume.

    ``after`` and ``before`` name plugins, by name or class, whose order matters though neither
    refers to the other. ``only_looks = True`` says that nothing else depends on a plugin: if it
    raises an error, it is called no more, and the run goes on with a warning.

    A plugin may also define ``state_dict`` / ``load_state_dict``; ``after_load(step_ratio)``,
    called when every plugin has its state, with the number of steps of this run that make one of
    the saved run; ``interrupted``, which may ask for a save when the run is asked to end from
    outside; and ``close``, which the host calls however the run ended. A state may share memory
    with the plugin, as torch's do, in ``state_dict`` and in ``load_state_dict``: whoever keeps one
    copies it.

    >>> class CountBatches(TrainingPlugin):
    ...     def __init__(self) -> None:
    ...         self.seen = 0
    ...     def batch_end(self, step: Step) -> None:
    ...         self.seen += 1
    """

    after: ClassVar[tuple[str | type, ...]] = ()
    before: ClassVar[tuple[str | type, ...]] = ()
    only_looks: ClassVar[bool] = False

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

    def within_epoch(self) -> Request:
        """Between two batches, where a hook asked for it: measure and report."""

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
