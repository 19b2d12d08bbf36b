"""The smallest plugins that make a loop, with no data and no model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from legoloop.loop.plugin import Request, ShouldEvaluate, ShouldStop
from legoloop.loop.stages import Stage
from legoloop.loop.step import Step


class Drive:
    """Epochs of so many batches, numbered consecutively; it can be resumed."""

    def __init__(self, batches_per_epoch: int = 2) -> None:
        self.batches_per_epoch = batches_per_epoch
        self.given = 0
        self.in_epoch = 0

    def epoch_start(self) -> None:
        self.in_epoch = 0

    def batches(self) -> Iterator[tuple[Any, int]]:
        while self.in_epoch < self.batches_per_epoch:
            self.in_epoch += 1
            self.given += 1
            yield {"number": self.given}, 1

    def state_dict(self) -> dict[str, int]:
        return {"given": self.given, "in_epoch": self.in_epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        vars(self).update(state)


class Epochs:
    """Stops after so many epochs."""

    def __init__(self, number: int = 1) -> None:
        self.left = number

    def epoch_end(self) -> Request:
        self.left -= 1
        return None if self.left else ShouldStop("that many epochs")

    def state_dict(self) -> dict[str, int]:
        return {"left": self.left}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.left = state["left"]


class Trace:
    """Records every stage that is called, and returns an answer from some of them."""

    def __init__(self, answers: dict[Stage, Any] | None = None) -> None:
        self.stages: list[Stage] = []
        self.answers = answers or {}

    def _record(self, stage: Stage) -> Any:
        self.stages.append(stage)
        return self.answers.get(stage)

    def train_start(self) -> Request:
        return self._record(Stage.TRAIN_START)

    def epoch_start(self) -> Request:
        return self._record(Stage.EPOCH_START)

    def batch_start(self, step: Step) -> Request:
        return self._record(Stage.BATCH_START)

    def batch(self, step: Step) -> Request:
        return self._record(Stage.BATCH)

    def batch_end(self, step: Step) -> Request:
        return self._record(Stage.BATCH_END)

    def within_epoch(self) -> Request:
        return self._record(Stage.WITHIN_EPOCH)

    def epoch(self) -> Request:
        return self._record(Stage.EPOCH)

    def epoch_end(self) -> Request:
        return self._record(Stage.EPOCH_END)

    def train(self) -> Request:
        return self._record(Stage.TRAIN)

    def train_end(self) -> Request:
        return self._record(Stage.TRAIN_END)


class Evaluate:
    """Asks for an evaluation after every batch."""

    def batch_end(self, step: Step) -> Request:
        return ShouldEvaluate()
