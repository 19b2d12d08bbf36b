from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.app.command import SMALL, Command, beside_bricks_of_a_user

SWEEP = ("-m", *SMALL, "loggers=[]", "hydra.sweep.dir=sweep")


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    return beside_bricks_of_a_user(tmp_path, monkeypatch, capfd)


WRONG = {
    "a key that does not exist": (["nope=1,2"], "nope (command line): there is no such key"),
    "an option that does not exist": (["optimizer=adam,adma"], "optimizer=adma: there is no such"),
    "an added key that nobody takes": (["+optimizer.lrr=1,2"], "optimizer.lrr (command line): "),
    "a value of the wrong type in one job": (["seed=0,1,x"], "seed (command line): is 'x'"),
    "a value out of range in one job": (["num_epochs=1,2,-1"], "num_epochs (command line): is -1"),
    "a value that a brick refuses": (["optimizer.lr=1e-3,-1"], "torch.optim.Adam refuses it: "),
    "a width that a model refuses": (
        ["model=mlp", "model.hidden=[8],[0]"],
        "model (command line): hidden[0] is 0; give ",
    ),
    "a target that does not exist": (
        ["model._target_=legoloop.zoo.models.Logistic,legoloop.zoo.models.Logistc"],
        "did you mean Logistic?",
    ),
    "a data set that does not exist": (["data.predict=val,vla"], "did you mean val?"),
    "a key that only one group has": (
        ["model=mlp,logistic", "++model.dropout=0.1"],
        "model.dropout (command line): legoloop.zoo.models.Logistic takes no 'dropout'",
    ),
    "a setting of loaders": (
        ["data.loaders.default.batch_size=4,0"],
        "data.loaders.default.batch_size (command line): is 0; give a whole number of at least 1",
    ),
}


@pytest.mark.parametrize(("overrides", "told"), WRONG.values(), ids=WRONG)
def test_a_sweep_with_one_wrong_job_costs_nothing(
    command: Command, overrides: list[str], told: str
) -> None:
    ended = command(*SWEEP, *overrides)
    assert ended.status == 2
    assert ended.err.startswith("error: job ")
    assert told in ended.err
    assert len(ended.err.strip().splitlines()) <= 3
    assert "Traceback" not in ended.err
    assert command.files() == []


def test_the_wrong_job_is_named(command: Command) -> None:
    ended = command("-m", "data=xor", "seed=0,1", "optimizer.lr=0.1,-1")
    assert ended.err.strip() == (
        "error: job 1 (data=xor seed=0 optimizer.lr=-1): optimizer (command line): "
        "torch.optim.Adam refuses it: Invalid learning rate: -1"
    )


def test_jobs_that_share_data_read_them_once(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from legoloop.zoo import toy_data

    made = []
    xor = toy_data.xor
    monkeypatch.setattr(toy_data, "xor", lambda **given: made.append(given) or xor(**given))
    command(*SWEEP, "optimizer.lr=0.1,0.2,0.3", "seed=-1")
    assert made == [], "nothing is built for a job that is refused"
    command(*SWEEP, "num_epochs=0", "optimizer.lr=0.1,0.2,0.3")
    checking, running = made[:2], made[2:]
    assert sorted(given["train"] for given in checking) == [False, True]
    assert len(running) == 3 * 2, "each job reads its own"


def test_a_job_that_ends_badly_ends_alone(command: Command) -> None:
    ended = command(
        *SWEEP, "+plugins.bad={_target_:mine.EndsBadly}", "+plugins.bad.how=ok,bug,exit,data,fine"
    )
    assert ended.status == 1
    records = [json.loads((command.here / f"sweep/{n}/run.json").read_text()) for n in range(5)]
    assert [(record["status"], record.get("cause")) for record in records] == [
        ("COMPLETED", None),
        ("FAILED", "ZeroDivisionError('divided by nothing')"),
        ("FAILED", "SystemExit(3)"),
        ("FAILED", "the data are odd"),
        ("COMPLETED", None),
    ]
    for record in records[1:4]:
        assert f"error: {record['cause']}" in ended.err
    logs = [(command.here / f"sweep/{n}/run.log").read_text() for n in range(5)]
    assert ["Traceback" in log for log in logs] == [False, True, True, True, False]
    assert "Traceback" not in ended.err


def test_a_folder_holds_one_sweep(command: Command) -> None:
    assert command(*SWEEP, "seed=0,1").status == 0
    jobs = json.loads((command.here / "sweep/sweep.json").read_text())["jobs"]
    assert [job[-1] for job in jobs] == ["seed=0", "seed=1"]
    before = {path: path.read_bytes() for path in command.here.rglob("*") if path.is_file()}
    ended = command(*SWEEP, "seed=2,3")
    assert ended.status == 2
    assert "/sweep holds a sweep already (started " in ended.err
    assert {p: p.read_bytes() for p in command.here.rglob("*") if p.is_file()} == before


def test_the_sweep_is_summed_up_failures_included(command: Command) -> None:
    ended = command(
        *SWEEP, "+plugins.bad={_target_:mine.EndsBadly}", "+plugins.bad.how=fine,data", "seed=0,1"
    )
    assert ended.status == 1
    with (command.here / "sweep" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], row["seed"], row["status"]) for row in rows] == [
        ("0", "0", "COMPLETED"),
        ("1", "1", "COMPLETED"),
        ("2", "0", "FAILED"),
        ("3", "1", "FAILED"),
    ]
    record = json.loads((command.here / "sweep/0/run.json").read_text())
    assert float(rows[0]["final/val/accuracy"]) == record["final"]["final/val/accuracy"]
    shown = ended.out[ended.out.index("sweep directory: sweep") :]
    assert [line.split()[0] for line in shown.splitlines()[2:6]] == ["0", "1", "2", "3"]
