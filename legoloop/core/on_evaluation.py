"""Base class for plugins that compute something from an evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar


class HasWhen(Protocol):
    """An evaluation that says when its results are used."""

    @property
    def when(self) -> str:
        """``epoch_end`` or ``train_end``."""
        ...


E = TypeVar("E", bound=HasWhen)


class EvaluationHook(ABC, Generic[E]):
    """Base class for plugins that compute something from an evaluation.

    Calls ``compute`` at the stage that the evaluation names, and ``reset`` when the weights change.
    Subclasses define both.

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

    def epoch_end(self) -> None:
        if self.acc_plugin.when == "epoch_end":
            self.compute()

    def train(self) -> None:
        self.reset()

    def train_end(self) -> None:
        if self.acc_plugin.when == "train_end":
            self.compute()
