"""A plugin that only looks costs what it shows, not the run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

import legoloop as ll
from legoloop.core.errors import ArgumentError, DataError


class TwoEpochs:
    """Drives two epochs of a batch each, and writes down that it came to the end."""

    def __init__(self) -> None:
        self.epochs = 0
        self.has_ended = False

    def batches(self) -> Iterator[tuple[str, int]]:
        yield "a batch", 1

    def epoch_end(self) -> ll.ShouldStop | None:
        self.epochs += 1
        return ll.ShouldStop("two epochs are done") if self.epochs == 2 else None

    def train_end(self) -> None:
        self.has_ended = True


class Looks:
    """Looks at every stage, and fails at one of them."""

    only_looks = True

    def __init__(self, fails_at: str, error: Exception) -> None:
        self.fails_at, self.error = fails_at, error
        self.called: list[str] = []

    def _at(self, stage: str) -> None:
        self.called.append(stage)
        if stage == self.fails_at:
            raise self.error

    def train_start(self) -> None:
        self._at("train_start")

    def batch_end(self, step: Any) -> None:
        self._at("batch_end")

    def epoch_end(self) -> None:
        self._at("epoch_end")

    def train_end(self) -> None:
        self._at("train_end")

    def close(self) -> None:
        self._at("close")


@pytest.mark.parametrize("stage", ["train_start", "batch_end", "epoch_end", "train_end", "close"])
def test_one_that_fails_is_left_out_and_told_once(
    stage: str, caplog: pytest.LogCaptureFixture
) -> None:
    drives, looks = TwoEpochs(), Looks(stage, DataError("there is nothing to see"))
    host = ll.TrainingHost({"looks": looks, "drives": drives})
    host.run()
    assert (drives.epochs, drives.has_ended, host.stop_reason) == (2, True, "two epochs are done")
    assert host.failed_lookers == {"looks": "there is nothing to see"}
    assert looks.called.count(stage) == 1
    assert looks.called[-1] == stage, "it is called no more"
    (told,) = caplog.records
    assert told.levelno == logging.WARNING
    assert told.getMessage() == (
        "looks failed and is left out, the run goes on: there is nothing to see"
    )
    assert told.exc_info is None


def test_a_bug_in_one_shows_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    drives = TwoEpochs()
    host = ll.TrainingHost({"looks": Looks("epoch_end", ZeroDivisionError("x")), "drives": drives})
    host.run()
    assert drives.has_ended
    assert host.failed_lookers == {"looks": "ZeroDivisionError('x')"}
    assert "raise self.error" in caplog.text


def test_a_configuration_that_one_refuses_before_the_first_step_ends_the_run() -> None:
    drives = TwoEpochs()
    host = ll.TrainingHost({"looks": Looks("train_start", ArgumentError("is no")), "d": drives})
    with pytest.raises(ArgumentError, match="is no"):
        host.run()
    assert drives.epochs == 0


def test_an_interruption_is_no_failure_of_the_one_that_looks() -> None:
    class Interrupts(Looks):
        def epoch_end(self) -> None:
            raise KeyboardInterrupt

    host = ll.TrainingHost({"looks": Interrupts("", DataError("")), "drives": TwoEpochs()})
    with pytest.raises(KeyboardInterrupt):
        host.run()
    assert host.failed_lookers == {}


def test_a_plugin_that_does_not_say_that_it_only_looks_ends_the_run() -> None:
    class Needed(Looks):
        only_looks = False

    host = ll.TrainingHost({"needed": Needed("epoch_end", DataError("no")), "d": TwoEpochs()})
    with pytest.raises(DataError, match="no"):
        host.run()


def test_those_that_ship() -> None:
    for looker in (ll.WorstErrors, ll.ConfusionMatrix, ll.ModelSummary, ll.Profile):
        assert looker.only_looks
    for plugin in (ll.SaveModelWeights, ll.Predictions, ll.GradientDescent, ll.CsvMetrics):
        assert not getattr(plugin, "only_looks", False)
