from __future__ import annotations

import logging
from math import nan
from pathlib import Path

import optuna
import pytest
import torch
from optuna.pruners import BasePruner
from optuna.trial import TrialState

import legoloop as ll
from legoloop.core.errors import ArgumentError
from legoloop.core.study_storage import RUN_DIR, open_storage
from tests.tiny import tiny


class Told:
    """A source that tells the given values, one an epoch."""

    def __init__(self, *values: float) -> None:
        self.values = iter(values)

    def scalars(self) -> dict[str, float]:
        return {"val/accuracy": next(self.values)}


class Asked(BasePruner):
    """Prunes below a half, and counts how often it was asked."""

    def __init__(self) -> None:
        self.times = 0

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        self.times += 1
        step = trial.last_step
        return step is not None and trial.intermediate_values[step] < 0.5


@pytest.fixture
def journal(tmp_path: Path) -> str:
    """That of a study with two trials, which are in the directories 0 and 1."""
    journal = str(tmp_path / "study.journal")
    study = optuna.create_study(
        storage=open_storage(journal), study_name="mine", direction="maximize"
    )
    for number in range(2):
        study.ask().set_user_attr(RUN_DIR, f"/sweep/{number}")
    return journal


def study_of(journal: str) -> optuna.Study:
    return optuna.load_study(study_name="mine", storage=open_storage(journal))


def epochs_until_pruned(pruning: ll.Pruning, epochs: int) -> int | None:
    pruning.train_start()
    for _ in range(epochs):
        pruning.counter.epochs += 1
        if pruning.epoch_end() is not None:
            return pruning.counter.epochs
    return None


def test_each_run_tells_its_own_trial_and_ends_where_the_pruner_says_so(journal: str) -> None:
    for number, values in enumerate([(0.9, 0.8, 0.4, 0.9), (0.9, 0.9, 0.9, 0.9)]):
        place = (Asked(), journal, "mine", f"/sweep/{number}")
        pruning = ll.Pruning(Told(*values), ll.Counter(), "val/accuracy", *place)
        assert epochs_until_pruned(pruning, 4) == (3 if number == 0 else None)
    first, second = study_of(journal).get_trials()
    assert first.intermediate_values == {1: 0.9, 2: 0.8, 3: 0.4}
    assert second.intermediate_values == {1: 0.9, 2: 0.9, 3: 0.9, 4: 0.9}
    assert {first.state, second.state} == {TrialState.RUNNING}, "the sweeper tells how it ended"


def test_epochs_that_a_resumed_run_repeats_are_told_once(journal: str) -> None:
    """Optuna keeps the first value, and its pruners judge by the last epoch."""
    place = (journal, "mine", "/sweep/0")
    first = ll.Pruning(Told(0.6, 0.7, 0.8), ll.Counter(), "val/accuracy", Asked(), *place)
    assert epochs_until_pruned(first, 3) is None
    asked = Asked()
    again = ll.Pruning(Told(0.6, 0.7, 0.8, 0.1), ll.Counter(), "val/accuracy", asked, *place)
    assert epochs_until_pruned(again, 4) == 4
    assert asked.times == 2, "at the last epoch that was told, and at the new one"
    assert study_of(journal).trials[0].intermediate_values == {1: 0.6, 2: 0.7, 3: 0.8, 4: 0.1}


def test_what_is_evaluated_within_epochs_is_told_by_steps(journal: str) -> None:
    parts = tiny(2)
    acc = parts.loops_acc(counter=parts.counter, datasets=["val"], every_steps=4)
    values = iter([0.9, 0.8, 0.7, 0.4])
    metrics = ll.AccumulatorMetrics(acc, lambda _: {"accuracy": next(values)})
    place = (Asked(), journal, "mine", "/sweep/0")
    pruning = ll.Pruning(metrics, parts.counter, "val/accuracy", *place)
    host = parts.host(acc, metrics, pruning)
    host.run()
    assert study_of(journal).trials[0].intermediate_values == {4: 0.9, 6: 0.8, 8: 0.7, 12: 0.4}
    assert (host.stop_reason, host.ends_as) == ("2 epochs are done", "COMPLETED")


@pytest.mark.parametrize("which", ["run", "study", "file"])
def test_a_run_that_is_no_trial_goes_on_with_a_warning(
    which: str, journal: str, caplog: pytest.LogCaptureFixture
) -> None:
    places = {
        "run": (journal, "mine", "/elsewhere/0"),
        "study": (journal, "other", "/sweep/0"),
        "file": (journal + ".gone", "mine", "/sweep/0"),
    }
    pruning = ll.Pruning(Told(0.1, 0.1), ll.Counter(), "val/accuracy", Asked(), *places[which])
    with caplog.at_level(logging.WARNING, "legoloop"):
        assert epochs_until_pruned(pruning, 2) is None
    assert "this run is no running trial of the study" in caplog.text
    assert not Path(journal + ".gone").exists()


def test_a_trial_that_is_over_is_not_told_of(journal: str) -> None:
    """As that of a run which is made again in its directory."""
    study_of(journal).tell(0, 0.5)
    place = (Asked(), journal, "mine", "/sweep/0")
    pruning = ll.Pruning(Told(0.1), ll.Counter(), "val/accuracy", *place)
    assert epochs_until_pruned(pruning, 1) is None
    assert study_of(journal).trials[0].intermediate_values == {}


def test_not_a_number_is_not_told(journal: str) -> None:
    place = (Asked(), journal, "mine", "/sweep/0")
    pruning = ll.Pruning(Told(nan, 0.1), ll.Counter(), "val/accuracy", *place)
    assert epochs_until_pruned(pruning, 2) == 2
    assert study_of(journal).trials[0].intermediate_values == {2: 0.1}


def test_a_metric_that_nobody_reports_is_refused(journal: str) -> None:
    place = (Asked(), journal, "mine", "/sweep/0")
    pruning = ll.Pruning(Told(0.5), ll.Counter(), "val/accurcy", *place)
    pruning.train_start()
    with pytest.raises(ArgumentError, match="did you mean val/accuracy"):
        pruning.epoch_end()


def test_the_rest_of_the_run_is_as_ever(journal: str, tmp_path: Path) -> None:
    parts = tiny(num_epochs=5)
    place = (Asked(), journal, "mine", "/sweep/0")
    pruning = ll.Pruning(Told(0.9, 0.1), parts.counter, "val/accuracy", *place)
    host = parts.host(pruning, ll.SaveModelWeights(parts.model, tmp_path / "weights"))
    host.run()
    assert (host.ends_as, parts.counter.epochs) == ("PRUNED", 2)
    assert host.stop_reason == "val/accuracy is 0.1 after epoch 2: pruned by Asked"
    assert torch.load(tmp_path / "weights").keys() == parts.model.state_dict().keys()


class Prunes:
    def epoch_end(self) -> ll.ShouldPrune:
        return ll.ShouldPrune("it is worse")


@pytest.mark.parametrize("is_first", [True, False])
def test_a_training_that_is_complete_is_not_pruned(is_first: bool) -> None:
    parts = tiny(num_epochs=1)
    own = [parts.counter, parts.epoch, parts.descent]
    last = [Prunes(), parts.last] if is_first else [parts.last, Prunes()]
    host = ll.TrainingHost([*own, *last])
    host.run()
    assert (host.ends_as, host.stop_reason) == ("COMPLETED", "1 epochs are done")


def test_how_it_ends_is_part_of_the_state() -> None:
    parts = tiny(num_epochs=3)
    host = parts.host(Prunes())
    host.run()
    fresh = tiny(num_epochs=3).host(Prunes())
    fresh.load_state_dict(host.state_dict())
    assert (fresh.ends_as, fresh.stop_reason) == ("PRUNED", "it is worse")
    older = {key: value for key, value in host.state_dict().items() if key != "ends_as"}
    fresh.load_state_dict(older)
    assert fresh.ends_as == "COMPLETED"
