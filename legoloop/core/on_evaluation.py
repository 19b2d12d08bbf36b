"""What is found by an evaluation: when it is looked for, and how long it holds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar


class HasWhen(Protocol):
    """An evaluation that says when its results are taken."""

    @property
    def at(self) -> str:
        """``epoch_end`` or ``train_end``."""
        ...


E = TypeVar("E", bound=HasWhen)


class EvaluationHook(ABC, Generic[E]):
    """A plugin that measures at the moment of its evaluation, and forgets when weights change.

    Subclasses define ``measure`` and ``forget``.

    >>> class Seen:
    ...     at = "epoch_end"
    >>> class Tells(EvaluationHook):
    ...     def measure(self): print("measured")
    ...     def forget(self): print("forgotten")
    >>> plugin = Tells(Seen())
    >>> plugin.epoch_start(); plugin.epoch_end(); plugin.train_end()
    forgotten
    measured
    """

    def __init__(self, acc_plugin: E) -> None:
        self.acc_plugin = acc_plugin

    @abstractmethod
    def measure(self) -> None:
        """It is time."""

    @abstractmethod
    def forget(self) -> None:
        """The weights change."""

    def epoch_start(self) -> None:
        """The weights are about to change."""
        self.forget()

    def epoch_end(self) -> None:
        """Measure, if it is time."""
        if self.acc_plugin.at == "epoch_end":
            self.measure()

    def train(self) -> None:
        """The weights may change once more."""
        self.forget()

    def train_end(self) -> None:
        """Measure, if it is time."""
        if self.acc_plugin.at == "train_end":
            self.measure()
