"""Searches with Optuna, as the command carries them out; numbers are issues of Hydra's.

What is refused before anything is created, pruning, nan, resuming, several objectives.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
from optuna.trial import FrozenTrial

from legoloop.app.sweep import optuna_sweeper
from legoloop.core.study_storage import open_storage
from legoloop.state.run_record import read_record
from legoloop.state.sweep_record import lock_sweep
from tests.app.command import SMALL, Command, beside_bricks_of_a_user, environment, in_a_process
from tests.app.sweep.launchers.sweeps import wait_until
from tests.fork_server import ForkedProcess

OF_ALL = ("-m", *SMALL, "loggers=[]", "hydra.sweep.dir=sweep", "hydra/sweeper=optuna")
BY_ACCURACY = "hydra.sweeper.monitor=final/val/accuracy"
UNPRUNED = "hydra.sweeper.pruner=null"
LR = "optimizer.lr=tag(log,interval(1e-4,1e-1))"
SEARCH = (*OF_ALL, BY_ACCURACY, UNPRUNED, LR)
FAULTY = "+plugins.faulty={_target_:mine.Faulty,name:'${hydra:job.num}'}"

FUNCTIONS = """
def dropout(trial):
    if trial.params["model"] == "mlp":
        trial.suggest_float("model.dropout", 0.1, 0.5)

def widths(trial):
    layers = trial.suggest_int("layers", 1, 3)
    return {"model.hidden": [4] * layers}

def refused_once(trial):
    lr = trial.suggest_float("lr", 1e-3, 1e-2)
    return {"optimizer.lr": -1.0 if trial.number == 1 else lr}

def raises(trial):
    raise KeyError("model")

def not_a_number(arrays):
    return {"accuracy": float("nan")}
"""


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    command = beside_bricks_of_a_user(tmp_path, monkeypatch, capfd)
    (tmp_path / "package" / "spaces.py").write_text(FUNCTIONS)
    monkeypatch.delitem(sys.modules, "spaces", raising=False)
    return command


def trials(here: Path, name: str = "sweep", storage: str | None = None) -> list[FrozenTrial]:
    """The trials of the study of the sweep, as Optuna and its dashboard read them."""
    opened = open_storage(storage or str(here / name / "study.journal"))
    return optuna.load_study(study_name=name, storage=opened).get_trials()


def states(here: Path) -> list[str]:
    return [trial.state.name for trial in trials(here)]


def record(here: Path, job: int) -> dict[str, Any]:
    return read_record(here / "sweep" / str(job))


def test_a_search_is_a_sweep_whose_study_can_be_looked_at(command: Command) -> None:
    """#2793: without a setting there is a storage, and the dashboard opens it."""
    ended = command(*SEARCH, "model=logistic,mlp", "hydra.sweeper.n_trials=3")
    assert (ended.status, ended.err) == (0, "")
    found = trials(command.here)
    assert [trial.number for trial in found] == [0, 1, 2]
    for trial in found:
        run = record(command.here, trial.number)
        assert run["status"] == "COMPLETED"
        assert trial.values == [run["final"]["final/val/accuracy"]]
        assert f"optimizer.lr={trial.params['optimizer.lr']!r}" in run["overrides"]
        assert f"model={trial.params['model']}" in run["overrides"]
        assert trial.user_attrs["run_dir"] == str(command.here / "sweep" / str(trial.number))
    assert "3 of 3 trials are over: 3 completed\nbest by final/val/accuracy (max):" in ended.out
    assert "optuna-dashboard sweep/study.journal" in ended.out
    facts = json.loads((command.here / "sweep/sweep.json").read_text())["search"]
    assert sorted(facts["space"]) == ["model=logistic,mlp", LR]
    assert (command.here / "sweep/results.csv").exists()


@pytest.mark.slow
def test_the_same_command_goes_on_with_the_study(command: Command) -> None:
    """#2647 #1679 #1407: trials count on, and no value is chosen twice."""
    assert command(*SEARCH, "hydra.sweeper.n_trials=2").status == 0
    first = trials(command.here)
    ended = command(*SEARCH, "hydra.sweeper.n_trials=2")
    assert (ended.status, ended.out.splitlines()[0]) == (0, "2 of 2 trials are over already")
    assert trials(command.here) == first

    ended = command(*SEARCH, "hydra.sweeper.n_trials=4")
    assert (ended.status, ended.out.splitlines()[0]) == (0, "2 of 4 trials are over already")
    found = trials(command.here)
    assert found[:2] == first
    assert [trial.number for trial in found] == [0, 1, 2, 3]
    assert len({trial.params["optimizer.lr"] for trial in found}) == 4
    assert [record(command.here, n)["status"] for n in range(4)] == ["COMPLETED"] * 4


@pytest.mark.slow
def test_trials_one_after_the_other_are_the_same_however_often_it_is_resumed(
    command: Command,
) -> None:
    for count in (1, 3, 4):
        assert command(*SEARCH, f"hydra.sweeper.n_trials={count}").status == 0
    at_once = [text.replace("sweep.dir=sweep", "sweep.dir=once") for text in SEARCH]
    assert command(*at_once, "hydra.sweeper.n_trials=4").status == 0
    first, second = trials(command.here), trials(command.here, "once")
    assert [trial.params for trial in first] == [trial.params for trial in second]
    assert [trial.values for trial in first] == [trial.values for trial in second]


@pytest.mark.slow
def test_another_search_is_not_gone_on_with(command: Command) -> None:
    search = (*SEARCH, "hydra.sweeper.n_trials=1")
    assert command(*search).status == 0
    for other, told in (
        ((*search[:-2], "optimizer.lr=interval(0,1)", search[-1]), "another space: "),
        ((*search, "hydra.sweeper.monitor=final/val/loss"), "another "),
        ((*search, "num_epochs=2"), "another fixed: "),
        (
            ("-m", *SMALL, "loggers=[]", "hydra.sweep.dir=sweep", "optimizer.lr=0.1,0.2"),
            "another sweeper",
        ),
    ):
        ended = command(*other)
        assert (ended.status, ended.out) == (2, "")
        assert told in ended.err
    assert states(command.here) == ["COMPLETE"]


@pytest.mark.slow
def test_a_nan_is_a_failed_trial_and_nothing_more(command: Command) -> None:
    """#2237 #2225: neither a loss nor a metric that is not a number ends the search."""
    ended = command(
        *(*OF_ALL, BY_ACCURACY, "hydra.sweeper.n_trials=4"),
        *("optimizer=sgd", "optimizer.lr=choice(0.01,3e38)", "num_epochs=3"),
    )
    assert ended.status == 0
    found = trials(command.here)
    for trial in found:
        is_finite = trial.params["optimizer.lr"] == "0.01"
        assert trial.state.name == ("COMPLETE" if is_finite else "FAIL")
    assert {trial.state.name for trial in found} == {"COMPLETE", "FAIL"}

    nan = [text.replace("sweep.dir=sweep", "sweep.dir=nan") for text in SEARCH]
    ended = command(*nan, "metrics._target_=spaces.not_a_number", "hydra.sweeper.n_trials=2")
    assert ended.status == 1
    assert "2 of 2 trials are over: 2 failed\n" in ended.out
    (first, _) = trials(command.here, "nan")
    assert first.user_attrs["cause"] == ("final/val/accuracy is not a number, or was not reported")
    assert read_record(command.here / "nan" / "0")["status"] == "COMPLETED"


@pytest.mark.slow
def test_a_run_that_raises_or_is_refused_is_a_failed_trial(command: Command) -> None:
    """#2237: the others are run."""
    refused = (
        *(*OF_ALL, BY_ACCURACY, UNPRUNED, "hydra.sweeper.n_trials=3"),
        "+hydra.sweeper.suggest._target_=spaces.refused_once",
    )
    ended = command(*refused)
    assert ended.status == 0
    assert states(command.here) == ["COMPLETE", "FAIL", "COMPLETE"]
    failed = record(command.here, 1)
    assert failed["status"] == "FAILED"
    assert "Invalid learning rate: -1.0" in failed["cause"]


@pytest.mark.slow
def test_pruned_runs_are_whole_and_shown_as_such(command: Command) -> None:
    """#1954 #1710: a run tells its values, and ends once it is to be pruned."""
    above_all = (
        "hydra.sweeper.pruner._target_=optuna.pruners.ThresholdPruner",
        "+hydra.sweeper.pruner.lower=1.1",
        "+hydra.sweeper.pruner.n_warmup_steps=2",
    )
    ended = command(
        *(*OF_ALL, BY_ACCURACY, LR, "hydra.sweeper.n_trials=2", "num_epochs=5"),
        *above_all,
    )
    assert ended.status == 1, "none has completed"
    assert ended.err == ""
    assert states(command.here) == ["PRUNED", "PRUNED"]
    for trial in trials(command.here):
        run = record(command.here, trial.number)
        assert (run["status"], "cause" in run) == ("PRUNED", False)
        assert run["stop_reason"].endswith("after epoch 2: pruned by ThresholdPruner")
        assert list(trial.intermediate_values) == [1, 2]
        assert run["final"]["final/val/accuracy"] is not None
        directory = command.here / "sweep" / str(trial.number)
        assert (directory / "weights").exists()
        assert (directory / "predicts.csv").exists()
    assert "job 0 (lr 0.00404) pruned in" in ended.out
    assert "status PRUNED" in ended.out
    assert "2 of 2 trials are over: 2 pruned\n" in ended.out
    ended = command(
        *(*OF_ALL, BY_ACCURACY, LR, "hydra.sweeper.n_trials=2", "num_epochs=5"),
        *above_all,
    )
    assert ended.out.startswith("2 of 2 trials are over already\n")


@pytest.mark.slow
def test_a_run_that_was_interrupted_goes_on_as_the_same_trial(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even Optuna does (optuna#3351): it runs another trial."""
    search = (*SEARCH, "epoch_size=128", FAULTY, "hydra.sweeper.n_trials=3")
    monkeypatch.setenv("FAULTS", "1=SIGINT")
    ended = command(*search)
    assert ended.status == 130
    assert "interrupted: 2 of 3 jobs are left; this goes on with them:" in ended.out
    assert states(command.here) == ["COMPLETE", "RUNNING"]
    values = trials(command.here)[1].params
    monkeypatch.delenv("FAULTS")
    assert command(*search).status == 0
    assert states(command.here) == ["COMPLETE"] * 3
    assert trials(command.here)[1].params == values
    attempts = [attempt["status"] for attempt in record(command.here, 1)["attempts"]]
    assert attempts == ["INTERRUPTED", "COMPLETED"]


@pytest.mark.slow
@pytest.mark.parametrize("on_failure", ["stop", "continue"])
def test_a_run_that_failed_is_run_again_if_the_search_stopped_for_it(
    on_failure: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = (*SEARCH, FAULTY, "hydra.sweeper.n_trials=3", f"sweep.on_failure={on_failure}")
    monkeypatch.setenv("FAULTS", "1=bug")
    assert command(*search).status == (1 if on_failure == "stop" else 0)
    after = {"stop": ["COMPLETE", "RUNNING"], "continue": ["COMPLETE", "FAIL", "COMPLETE"]}
    assert states(command.here) == after[on_failure]
    monkeypatch.delenv("FAULTS")
    assert command(*search).status == 0
    after["stop"] = ["COMPLETE"] * 3
    assert states(command.here) == after[on_failure]


@pytest.mark.slow
def test_conditional_spaces_are_a_function(command: Command) -> None:
    """#1906 #1909 #2433: a key that only one choice has."""
    ended = command(
        *(*OF_ALL, BY_ACCURACY, UNPRUNED, "model=mlp,logistic", "hydra.sweeper.n_trials=4"),
        "++hydra.sweeper.suggest={_target_:spaces.dropout}",
    )
    assert (ended.status, ended.err) == (0, "")
    for trial in trials(command.here):
        overrides = record(command.here, trial.number)["overrides"]
        has_dropout = any(text.startswith("model.dropout=") for text in overrides)
        assert has_dropout == (trial.params["model"] == "mlp")


@pytest.mark.slow
def test_a_function_may_return_values_made_of_others(command: Command) -> None:
    ended = command(
        *(*OF_ALL, BY_ACCURACY, UNPRUNED, "model=mlp", "hydra.sweeper.n_trials=2"),
        "++hydra.sweeper.suggest={_target_:spaces.widths}",
    )
    assert (ended.status, ended.err) == (0, "")
    for trial in trials(command.here):
        widths = ",".join(["4"] * trial.params["layers"])
        assert f"model.hidden=[{widths}]" in record(command.here, trial.number)["overrides"]


@pytest.mark.slow
def test_several_objectives_have_a_front_of_best_trials(command: Command) -> None:
    ended = command(
        *(*OF_ALL, LR, UNPRUNED, "hydra.sweeper.n_trials=5"),
        "hydra.sweeper.monitor=[final/val/accuracy,final/val/loss]",
    )
    assert (ended.status, ended.err) == (0, "")
    assert "best by final/val/accuracy (max), final/val/loss (min):" in ended.out
    assert all(len(trial.values) == 2 for trial in trials(command.here))


@pytest.mark.long
def test_the_storage_may_be_a_url(command: Command) -> None:
    storage = f"sqlite:///{command.here}/study.db"
    search = (*SEARCH, f"hydra.sweeper.storage={storage}", "hydra.sweeper.study=mine")
    assert command(*search, "hydra.sweeper.n_trials=1").status == 0
    assert command(*search, "hydra.sweeper.n_trials=2").status == 0
    assert len(trials(command.here, "mine", storage)) == 2
    other = [text.replace("sweep.dir=sweep", "sweep.dir=other") for text in search]
    ended = command(*other)
    assert (ended.status, ended.out) == (2, "")
    assert "holds a study of that name already, of another sweep" in ended.err


@pytest.mark.slow
def test_the_space_may_stand_in_a_group(command: Command) -> None:
    group = command.here / "conf" / "space"
    group.mkdir(parents=True)
    (group / "lr.yaml").write_text(
        "# @package _global_\n"
        "hydra:\n  sweeper:\n    monitor: final/val/accuracy\n    n_trials: 2\n"
        "    params:\n      optimizer.lr: tag(log, interval(1e-4, 1e-1))\n"
        "      model: choice(mlp, logistic)\n"
    )
    ended = command(
        *("-m", *SMALL, "loggers=[]", "hydra.sweep.dir=sweep", "--config-dir=conf"),
        *("hydra/sweeper=optuna", "+space=lr", "model=logistic"),
    )
    assert (ended.status, ended.err) == (0, "")
    assert [sorted(trial.params) for trial in trials(command.here)] == [["optimizer.lr"]] * 2


REFUSED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "no metric": (
        (LR,),
        "hydra.sweeper.monitor: is None; give the metric to optimise, such as "
        "final/val/accuracy, or a list",
    ),
    "a metric that no run will report": (
        (LR, "hydra.sweeper.monitor=final/val/accurcy"),
        "hydra.sweeper.direction: is null, but the direction of final/val/accurcy is not known; "
        "set it to min or max; or did you mean final/val/accuracy?",
    ),
    "a metric of the user's own that is not there": (
        (LR, "hydra.sweeper.monitor=final/val/precision", "hydra.sweeper.direction=max"),
        "error: hydra.sweeper.monitor: is final/val/precision, which no run will report; ",
    ),
    "a data set that is not there": (
        (LR, "hydra.sweeper.monitor=final/vla/accuracy", UNPRUNED),
        "is final/vla/accuracy, which no run will report; did you mean final/val/accuracy?",
    ),
    "a metric whose direction is not known": (
        (LR, "hydra.sweeper.monitor=lr"),
        "hydra.sweeper.direction: is null, but the direction of lr is not known; "
        "set it to min or max",
    ),
    "a direction that is none": (
        (LR, BY_ACCURACY, "hydra.sweeper.direction=up"),
        "hydra.sweeper.direction: is 'up'; there are min, max",
    ),
    "fewer directions than metrics": (
        (LR, "hydra.sweeper.monitor=[val/loss,val/accuracy]", "hydra.sweeper.direction=[min]"),
        "hydra.sweeper.direction: has 1 for 2 metrics; give max or min for each, or null where "
        "it is known",
    ),
    "nothing to search": (
        (BY_ACCURACY, "optimizer.lr=0.1"),
        "there is nothing to search: no key has several values; write, for instance, ",
    ),
    "an interval whose ends are exchanged": (
        (BY_ACCURACY, "optimizer.lr=interval(1,0)"),
        "optimizer.lr: is interval(1,0): its end, 0, is below its start, 1",
    ),
    "a logarithm of 0": (
        (BY_ACCURACY, "optimizer.lr=tag(log,interval(0,1))"),
        "its start, 0, must be above 0",
    ),
    "an unknown tag": (
        (BY_ACCURACY, "optimizer.lr=tag(lgo,interval(0,1))"),
        "optimizer.lr: is tagged lgo; there is log alone",
    ),
    "a key that does not exist": (
        (BY_ACCURACY, "optimizer.lrr=interval(0,1)"),
        "optimizer.lrr (command line): there is no such key",
    ),
    "a choice that does not exist": (
        (BY_ACCURACY, "model=logistic,mlp,mpl"),
        "model=mpl: there is no such option",
    ),
    "numbers where whole numbers belong": (
        (BY_ACCURACY, "num_epochs=interval(1,3)"),
        "num_epochs (command line): is 1.0; give a whole number",
    ),
    "an end that a brick refuses": (
        (BY_ACCURACY, "optimizer.lr=interval(-1,1)"),
        "torch.optim.Adam refuses it: Invalid learning rate: -1.0",
    ),
    "a function that raises": (
        (BY_ACCURACY, "++hydra.sweeper.suggest={_target_:spaces.raises}"),
        "hydra.sweeper.suggest: raises KeyError('model')",
    ),
    "a function that is not there": (
        (BY_ACCURACY, "++hydra.sweeper.suggest={_target_:spaces.nothing}"),
        "hydra.sweeper.suggest: cannot be made (",
    ),
    "no trials": (
        (LR, BY_ACCURACY, "hydra.sweeper.n_trials=0"),
        "hydra.sweeper.n_trials: is 0; give a whole number of at least 1",
    ),
    "a study without a name": (
        (LR, BY_ACCURACY, "hydra.sweeper.study=3"),
        "hydra.sweeper.study: is 3; give a text, or null",
    ),
    "a sampler that is none": (
        (
            *(LR, BY_ACCURACY, "~hydra.sweeper.sampler.seed"),
            "hydra.sweeper.sampler._target_=optuna.pruners.NopPruner",
        ),
        "hydra.sweeper.sampler: is a NopPruner, which is no sampler",
    ),
    "a setting that the sampler does not have": (
        (LR, BY_ACCURACY, "+hydra.sweeper.sampler.sead=1"),
        "hydra.sweeper.sampler: cannot be made (",
    ),
    "a pruner for two objectives": (
        (LR, "hydra.sweeper.monitor=[final/val/accuracy,final/val/loss]"),
        "hydra.sweeper.pruner: prunes by one metric, and hydra.sweeper.monitor has 2; "
        "set it to null",
    ),
    "pruning by what is known at the end": (
        (LR, BY_ACCURACY, "hydra.sweeper.pruner_monitor=final/val/accuracy"),
        "is final/val/accuracy, which is known at the end of a run alone; name one of each epoch",
    ),
    "pruning by a metric, but not at all": (
        (LR, BY_ACCURACY, UNPRUNED, "hydra.sweeper.pruner_monitor=val/loss"),
        "hydra.sweeper.pruner_monitor: is val/loss, but nothing is pruned",
    ),
    "pruning of one's own": (
        (LR, BY_ACCURACY, "+plugins.pruning={_target_:mine.GivesFive}"),
        "plugins.pruning (command line): is added by hydra/sweeper=optuna; leave it out, and set "
        "hydra.sweeper.pruner",
    ),
    "one directory for all": (
        (LR, BY_ACCURACY, "hydra.sweep.subdir=same"),
        "hydra.sweep.subdir: all jobs would write to {here}/sweep/same; give each its own, as "
        "${hydra.job.num} does",
    ),
    "batches of jobs that are run one by one": (
        (LR, BY_ACCURACY, "hydra.sweeper.batch_size=2"),
        "hydra.sweeper.batch_size: is 2, but hydra/launcher=basic takes one job at a time; "
        "leave it out",
    ),
    "batches for a launcher that asks": (
        (LR, BY_ACCURACY, "hydra.sweeper.batch_size=2", "hydra/launcher=processes"),
        "is 2, but hydra/launcher=processes takes each job when a slot is free; leave it out",
    ),
    "no size for a launcher that takes batches": (
        (LR, BY_ACCURACY, "hydra/launcher=slurm_local"),
        "hydra.sweeper.batch_size: is null, but hydra/launcher=slurm_local takes jobs in batches",
    ),
    "a storage that cannot be": (
        (LR, BY_ACCURACY, "hydra.sweeper.storage=nonesuch://here"),
        "hydra.sweeper.storage: is nonesuch://here, which cannot be opened (",
    ),
    "a listing": ((LR, BY_ACCURACY, "show=plan"), "shows one run; leave out -m"),
}


@pytest.mark.parametrize(("overrides", "told"), REFUSED.values(), ids=REFUSED)
def test_a_mistake_costs_nothing(command: Command, overrides: tuple[str, ...], told: str) -> None:
    ended = command(*OF_ALL, *overrides)
    assert (ended.status, ended.out) == (2, "")
    assert told.replace("{here}", str(command.here)) in ended.err
    assert ended.err.startswith("error: ")
    assert "Traceback" not in ended.err
    assert command.files() == []


def test_without_optuna_the_extra_is_named(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """#3007: no pin of an old version, and one sentence where there is none."""
    monkeypatch.setattr(optuna_sweeper, "find_spec", lambda name: None)
    ended = command(*SEARCH)
    assert (ended.status, command.files()) == (2, [])
    assert ended.err == (
        "error: hydra/sweeper=optuna needs optuna, which is not installed; install it with: "
        "pip install 'legoloop[optuna]'\n"
    )


def test_the_folder_of_a_search_is_locked(command: Command) -> None:
    lock = lock_sweep(command.here / "sweep", [["seed=0"]], [{"seed": 0}])
    try:
        assert command(*SEARCH).status == 2
    finally:
        lock.release()


def killed_in_the_middle(here: Path, *words: str) -> None:
    """The search as a process, killed with all of its jobs once some trials are over."""
    search = ForkedProcess(["-m", "legoloop.run", *words], cwd=here, env=environment())
    wait_until(lambda: len(list((here / "sweep").glob("*/weights"))) >= 2)
    for process in psutil.Process(search.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    search.kill()
    search.communicate(timeout=60)


@pytest.mark.slow
def test_no_trial_is_lost_or_run_twice_when_all_is_killed(command: Command) -> None:
    search = (
        *("-m", "data=xor", "model=mlp", "num_epochs=12", "loggers=[csv]"),
        *("hydra.sweep.dir=sweep", "hydra/sweeper=optuna", BY_ACCURACY, LR),
        *("hydra.sweeper.n_trials=6", "hydra/launcher=processes", "hydra.launcher.n_jobs=2"),
    )
    killed_in_the_middle(command.here, *search)
    before = trials(command.here)
    assert "RUNNING" in {trial.state.name for trial in before}
    ended = in_a_process(command.here, *search)
    assert (ended.status, "6 of 6 trials are over" in ended.out) == (0, True)
    after = trials(command.here)
    assert [trial.number for trial in after] == list(range(6))
    assert {trial.state.name for trial in after} <= {"COMPLETE", "PRUNED"}
    assert [trial.params for trial in after][: len(before)] == [t.params for t in before]
    for trial in after:
        run = record(command.here, trial.number)
        assert run["status"] == ("PRUNED" if trial.state.name == "PRUNED" else "COMPLETED")
    attempts = [len(record(command.here, trial.number)["attempts"]) for trial in after]
    was_running = [trial.number for trial in before if trial.state.name == "RUNNING"]
    assert max(attempts) <= 2
    assert {number for number, count in enumerate(attempts) if count > 1} <= set(was_running)


@pytest.mark.slow
def test_the_trials_of_a_batch_are_trained_together(command: Command) -> None:
    vmap = ("hydra/launcher=vmap", "hydra.sweeper.batch_size=2", "hydra.sweeper.n_trials=5")
    ended = command(*OF_ALL, BY_ACCURACY, LR, *vmap, "num_epochs=2")
    assert (ended.status, ended.err) == (0, "")
    assert set(states(command.here)) <= {"COMPLETE", "PRUNED"}
    lines = [line for line in ended.out.splitlines() if line.startswith("trained together: ")]
    assert lines == [
        "trained together: jobs 0-1",
        "trained together: jobs 2-3",
        "trained together: no jobs; alone: job 4 (no other job is left for it)",
    ]
    for trial in trials(command.here):
        run = record(command.here, trial.number)
        assert trial.state.name == "PRUNED" or trial.values == [run["final"]["final/val/accuracy"]]
        assert list(trial.intermediate_values) == [1, 2]


@pytest.mark.long
def test_other_launchers_are_given_batches(command: Command) -> None:
    search = (*SEARCH, "hydra.sweeper.n_trials=3", "hydra.sweeper.batch_size=2")
    ended = in_a_process(command.here, *search, "hydra/launcher=slurm_local")
    assert (ended.status, states(command.here)) == (0, ["COMPLETE"] * 3)
    begun = [trial.datetime_start for trial in trials(command.here)]
    first_ended = trials(command.here)[0].datetime_complete
    assert begun[1] < first_ended < begun[2], "chosen together; and by what came of the batch"


@pytest.mark.long
def test_a_job_that_is_killed_is_a_failed_trial(command: Command) -> None:
    package = command.here.parent / "package"
    ended = in_a_process(
        command.here,
        *(*OF_ALL, BY_ACCURACY, "hydra.sweeper.n_trials=4"),
        *("+plugins.bad={_target_:mine.EndsBadly}", "+plugins.bad.how=ok,kill"),
        *("hydra/launcher=processes", "hydra.launcher.n_jobs=2"),
        PYTHONPATH=f"{package}:{environment()['PYTHONPATH']}",
    )
    assert ended.status == 0
    found = trials(command.here)
    died = [trial for trial in found if trial.params["plugins.bad.how"] == "kill"]
    assert 0 < len(died) < len(found) == 4
    for trial in found:
        assert trial.state.name == ("FAIL" if trial in died else "COMPLETE")
    assert died[0].user_attrs["cause"] == "killed by SIGKILL (out of memory?)"
    assert record(command.here, died[0].number)["status"] == "FAILED"
