"""The sweeps that templates for Hydra test themselves with: all experiments, rates, a search.

Each is cut short (``debug=fast``), with and without ranks.
"""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from legoloop.core.study_storage import open_storage
from legoloop.state.run_record import read_record
from tests.app.command import Ended, in_a_process

FAST = ("-m", "debug=fast", "hydra.sweep.dir=sweep")
DIGITS = ("data=digits", "model=mlp")
RATES = "optimizer.lr=tag(log,interval(1e-4,1e-1))"
SEARCH = ("hydra/sweeper=optuna", "hydra.sweeper.monitor=final/val/accuracy", RATES)
LEFT_BY_A_RUN = {"run.json", "config.yaml", "predicts.csv", "weights", "metrics.csv"}


def sweep(here: Path, *overrides: str) -> Ended:
    """The command itself; its jobs are in the folder ``sweep``."""
    ended = in_a_process(here, *FAST, *overrides, OMP_NUM_THREADS="1")
    assert (ended.status, ended.err) == (0, "")
    return ended


def completed(here: Path) -> int:
    """The number of jobs, all of which have completed and left what a run leaves."""
    runs = [folder for folder in (here / "sweep").iterdir() if (folder / "run.json").exists()]
    for run in runs:
        assert read_record(run)["status"] == "COMPLETED"
        assert {path.name for path in run.iterdir()} >= LEFT_BY_A_RUN
    return len(runs)


@pytest.mark.slow
def test_all_experiments(tmp_path: Path) -> None:
    sweep(tmp_path, "experiment=glob(*)", "data=digits", "model.channels=[4]")
    assert completed(tmp_path) == 1, "the experiments that ship"


@pytest.mark.long
@pytest.mark.parametrize("ranks", [1, 2])
def test_two_rates(tmp_path: Path, ranks: int) -> None:
    ended = sweep(tmp_path, *DIGITS, "optimizer.lr=0.005,0.01", f"ranks={ranks}")
    assert completed(tmp_path) == 2
    assert "2/2  job 1 (lr 0.01) completed in" in ended.out


@pytest.mark.long
def test_a_search_of_ten_trials(tmp_path: Path) -> None:
    ended = sweep(tmp_path, *DIGITS, *SEARCH, "hydra.sweeper.n_trials=10")
    assert completed(tmp_path) == 10
    assert "10 of 10 trials are over: 10 completed" in ended.out


@pytest.mark.long
def test_ranks_are_pruned_together(tmp_path: Path) -> None:
    above_all = ("hydra.sweeper.pruner._target_=optuna.pruners.ThresholdPruner",)
    above_all += ("+hydra.sweeper.pruner.lower=1.1", "+hydra.sweeper.pruner.n_warmup_steps=2")
    small = ("num_epochs=5", "epoch_size=64", "hydra.sweeper.n_trials=2", "ranks=2")
    ended = in_a_process(
        tmp_path, *FAST, "debug=limit", *DIGITS, *SEARCH, *small, *above_all, OMP_NUM_THREADS="1"
    )
    assert ended.err == ""
    for job in range(2):
        run = read_record(tmp_path / "sweep" / str(job))
        assert (run["status"], "cause" in run) == ("PRUNED", False)
        assert run["stop_reason"].endswith("after epoch 2: pruned by ThresholdPruner")
    study = optuna.load_study(
        study_name="sweep", storage=open_storage(str(tmp_path / "sweep" / "study.journal"))
    )
    assert [list(trial.intermediate_values) for trial in study.get_trials()] == [[1, 2]] * 2
