"""Base class for plugins that compute something from an evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, Literal, Protocol, TypeVar

Stages = Literal["within_epoch", "epoch_end", "train_end"]


class HasWhen(Protocol):
    """An evaluation that says when its results are used."""

    @property
    def when(self) -> str:
        """``epoch_end`` or ``train_end``."""
        ...


E = TypeVar("E", bound=HasWhen)


class EvaluationHook(ABC, Generic[E]):
    """Base class for plugins that compute something from an evaluation.

    Calls ``compute`` at the stages at which the evaluation is due, and ``reset`` when the weights
    change. Subclasses define both. An evaluation that has no method ``is_due(stage)`` is due at the
    one stage that it names, ``when``.

    Args:
        acc_plugin (HasWhen): the evaluation.

    >>> class Evaluates:
    ...     when = "epoch_end"
    >>> class Prints(EvaluationHook):
    ...     def compute(self): print("compute")
    ...     def reset(self): print("reset")
    >>> plugin = Prints(Evaluates())
    >>> plugin.epoch_start(); plugin.epoch_end(); plugin.train_end()
    reset
    compute
    """

    def __init__(self, acc_plugin: E) -> None:
        self.acc_plugin = acc_plugin

    @abstractmethod
    def compute(self) -> None:
        """Compute from the evaluation."""

    @abstractmethod
    def reset(self) -> None:
        """Drop what was computed: the weights change."""

    def epoch_start(self) -> None:
        self.reset()

    def within_epoch(self) -> None:
        self._compute_if_due("within_epoch")

    def epoch_end(self) -> None:
        self._compute_if_due("epoch_end")

    def train(self) -> None:
        self.reset()

    def train_end(self) -> None:
        self._compute_if_due("train_end")

    @property
    def is_awaited(self) -> bool:
        """Whether it computes something later in the training, but not at the end of this epoch."""
        is_scheduled = getattr(self.acc_plugin, "is_scheduled", False)
        return is_scheduled and not self._is_due("epoch_end")

    @property
    def is_by_steps(self) -> bool:
        """Whether it computes something within epochs."""
        return getattr(self.acc_plugin, "every_steps", None) is not None

    def _compute_if_due(self, stage: Stages) -> None:
        if self._is_due(stage):
            self.compute()
        elif stage != "train_end":
            self.reset()  # what was computed within the epoch is not new any longer

    def _is_due(self, stage: Stages) -> bool:
        is_due: Any = getattr(self.acc_plugin, "is_due", None)
        return bool(self.acc_plugin.when == stage if is_due is None else is_due(stage))
