from __future__ import annotations

import os
from pathlib import Path

import pytest

from legoloop.state.run_record import read_record
from tests.app.command import SMALL, in_a_process
from tests.app.sweep.launchers.sweeps import begun, ended, facts

JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


@pytest.fixture(autouse=True)
def no_threads_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.slow
def test_jobs_share_the_threads(tmp_path: Path) -> None:
    assert ended(begun(tmp_path, *JOBLIB, "do=a,b")).status == 0
    share = str(max(1, len(os.sched_getaffinity(0)) // 2))
    for job in (0, 1):
        assert facts(tmp_path, job)["OMP_NUM_THREADS"] == share


@pytest.mark.slow
def test_a_job_that_dies_ends_the_sweep(tmp_path: Path) -> None:
    how = ended(begun(tmp_path, *JOBLIB, "do=exit,fine"))
    assert how.status != 0
    assert (
        "a job's process died, which ends the sweep; hydra/launcher=processes isolates jobs"
        in how.err
    )


@pytest.mark.slow
def test_runs(tmp_path: Path) -> None:
    how = in_a_process(
        tmp_path, "-m", *SMALL, "loggers=[]", "hydra.sweep.dir=sweep", *JOBLIB, "seed=0,1"
    )
    assert (how.status, how.err) == (0, "")
    records = [read_record(tmp_path / "sweep" / str(job)) for job in (0, 1)]
    assert [(record["status"], record["seed"]) for record in records] == [
        ("COMPLETED", 0),
        ("COMPLETED", 1),
    ]
    share = max(1, len(os.sched_getaffinity(0)) // 2)
    assert {record["hardware"]["threads"] for record in records} == {share}


@pytest.mark.slow
def test_jobs_may_have_workers(tmp_path: Path) -> None:
    how = in_a_process(
        tmp_path,
        *("-m", *SMALL, "loggers=[]", "hydra.sweep.dir=sweep", *JOBLIB, "num_epochs=2"),
        "data.loaders.default.num_workers=0,2",
    )
    assert (how.status, how.err) == (0, "")
    weights = [(tmp_path / "sweep" / str(job) / "weights").read_bytes() for job in (0, 1)]
    assert weights[0] == weights[1]
