from __future__ import annotations

import csv
import json
import re
import subprocess
from pathlib import Path

import pytest

from legoloop.state import run_record
from tests.app.command import SMALL, Command, beside_bricks_of_a_user

OF_ALL = (*SMALL, "loggers=[]")
SWEEP = ("-m", *OF_ALL, "hydra.sweep.dir=sweep")


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    return beside_bricks_of_a_user(tmp_path, monkeypatch, capfd)


WRONG = {
    "a key that does not exist": (["nope=1,2"], "nope (command line): there is no such key"),
    "an option that does not exist": (["optimizer=adam,adma"], "optimizer=adma: there is no such"),
    "an added key that nobody takes": (["+optimizer.lrr=1,2"], "optimizer.lrr (command line): "),
    "a value of the wrong type in one job": (["seed=0,x"], "seed (command line): is 'x'"),
    "a value out of range in one job": (["num_epochs=1,-1"], "num_epochs (command line): is -1"),
    "a value that a brick refuses": (["optimizer.lr=1e-3,-1"], "torch.optim.Adam refuses it: "),
    "a width that a model refuses": (
        ["model=mlp", "model.hidden=[8],[0]"],
        "model.hidden[0] (command line): is 0; give ",
    ),
    "a target that does not exist": (
        ["model._target_=legoloop.zoo.models.Logistic,legoloop.zoo.models.Logistc"],
        "did you mean Logistic?",
    ),
    "a data set that does not exist": (["data.predict_dataset=val,vla"], "did you mean val?"),
    "a key that only one group has": (
        ["model=mlp,logistic", "++model.dropout=0.1"],
        "model.dropout (command line): legoloop.zoo.models.Logistic takes no 'dropout'",
    ),
    "a setting of loaders": (
        ["data.loaders.default.batch_size=4,0"],
        "data.loaders.default.batch_size (command line): is 0; give a whole number of at least 1",
    ),
}


MESSAGES = {
    "a group that exists in one job alone": (
        ["scheduler=exponential,none", "++scheduler.gamma=0.5"],
        "job 1 ({SMALL} scheduler=none ++scheduler.gamma=0.5): scheduler (command line): "
        "is {'gamma': 0.5}; a component is a mapping with a _target_",
    ),
    "an interpolation that leads nowhere in one job": (
        ["optimizer.lr=1e-3,${nope}"],
        "job 1 ({SMALL} optimizer.lr=$\\{nope\\}): optimizer.lr (command line): "
        "Interpolation key 'nope' not found",
    ),
    "a group set to null in one job": (
        ["debug=fast,null"],
        "job 1 ({SMALL} debug=null): "
        "debug (command line): is null, no name of an option; there are anomaly, determinism, "
        "fast, limit, overfit; or leave the group out: ~debug",
    ),
    "a launcher that does not exist": (
        ["seed=0,1", "hydra/launcher=proceses"],
        "hydra/launcher=proceses: there is no such option; did you mean processes?",
    ),
    "another number of machines in one job": (
        ["ranks=2", "nodes=1,2"],
        "job 1 ({SMALL} ranks=2 nodes=2): nodes (command line): is 2, but all jobs of a sweep have "
        "as many, here 1; make a sweep of each number",
    ),
    "no slots": (
        ["seed=0,1", "hydra/launcher=processes", "hydra.launcher.n_jobs=0"],
        "hydra.launcher.n_jobs: is 0; give a whole number of at least 1",
    ),
    "a setting that the launcher does not have": (
        ["seed=0,1", "hydra.launcher.n_jobs=2"],
        "hydra.launcher.n_jobs (command line): there is no such key or group; to add it, write "
        "++hydra.launcher.n_jobs=…; there are _target_",
    ),
    "batches of no job": (
        ["seed=0,1", "hydra.sweeper.max_batch_size=0"],
        "hydra.sweeper.max_batch_size: is 0; give a whole number of at least 1, or null",
    ),
    "a key that each option has, but the default none": (
        ["scheduler=cosine,exponential", "scheduler.last_epoch=3"],
        "scheduler.last_epoch (command line): there is no such key or group; to add it, write "
        "++scheduler.last_epoch=…",
    ),
    "what to do on a failure": (
        ["seed=0,1", "sweep.on_failure=maybe"],
        "job 0 ({SMALL} seed=0 sweep.on_failure=maybe): sweep.on_failure (command line): "
        "is 'maybe'; give one of continue, stop",
    ),
    "a key about failures misspelt": (
        ["seed=0,1", "sweep.on_failuer=stop"],
        "sweep.on_failuer (command line): there is no such key or group; to add it, write "
        "++sweep.on_failuer=…; did you mean on_failure?",
    ),
    "what to do on a change": (
        ["seed=0,1", "on_config_change=perhaps"],
        "job 0 ({SMALL} seed=0 on_config_change=perhaps): on_config_change (command line): "
        "is 'perhaps'; give one of refuse, accept",
    ),
    "a sweep that must be there": (
        ["seed=0,1", "resume=must"],
        "resume: is must, but hydra.sweep.dir, {here}/sweep, holds no sweep; name one that does",
    ),
    "a checkpoint that is not there": (
        ["seed=0,1", "resume=nowhere"],
        "job 0 ({SMALL} seed=0 resume=nowhere): resume (command line): is 'nowhere'; "
        "give auto, never, must, a run directory or a checkpoint",
    ),
    "two jobs in one directory": (
        ["seed=0,1", "hydra.sweep.subdir=same"],
        "hydra.sweep.subdir: jobs 0 and 1 would both write to {here}/sweep/same; "
        "give each its own, as ${hydra.job.num} does",
    ),
    "a job outside the sweep's folder": (
        ["seed=0,1", "hydra.sweep.subdir=../${seed}"],
        "hydra.sweep.subdir: job 0 would write to {here}/0; "
        "give a folder of its own inside {here}/sweep, as ${hydra.job.num} does",
    ),
    "no job": (
        ["seed=range(0)"],
        "{SMALL} seed=range(0): makes no job; one of them has no values",
    ),
    "a listing of many": (
        ["seed=0,1", "show=plan"],
        "show (command line): shows one run; leave out -m",
    ),
}


@pytest.mark.parametrize(("overrides", "told"), MESSAGES.values(), ids=MESSAGES)
def test_a_wrong_sweep_costs_nothing(command: Command, overrides: list[str], told: str) -> None:
    ended = command(*SWEEP, *overrides)
    told = told.replace("{here}", str(command.here)).replace("{SMALL}", " ".join(OF_ALL))
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.strip() == f"error: {told}"
    assert command.files() == []


@pytest.mark.slow
def test_a_value_bad_in_job_17_of_20_costs_nothing(command: Command) -> None:
    ended = command(*SWEEP, f"seed={','.join(map(str, range(17)))},-1,18,19")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.strip() == (
        f"error: job 17 ({' '.join(OF_ALL)} seed=-1): seed (command line): "
        "is -1; give a whole number from 0 to 4294967295"
    )
    assert command.files() == []


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


@pytest.mark.slow
def test_jobs_that_share_data_read_them_once(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from legoloop.zoo import toy_data

    made = []
    xor = toy_data.xor
    monkeypatch.setattr(toy_data, "xor", lambda **given: made.append(given) or xor(**given))
    command(*SWEEP, "seed=-1")
    assert made == [], "nothing is built for a job that is refused"
    command(*SWEEP, "num_epochs=0", "optimizer.lr=0.1,0.2")
    checking, running = made[:2], made[2:]
    assert sorted(given["train"] for given in checking) == [False, True]
    assert len(running) == 2 * 2, "each job reads its own"


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
    for number, record in enumerate(records[1:4], 1):
        assert re.search(rf"^error: job {number} \(how .*\): ", ended.err, re.MULTILINE)
        assert f": {record['cause']}; see sweep/{number}/output.log" in ended.err
        output = (command.here / f"sweep/{number}/output.log").read_text()
        assert f"error: {record['cause']}" in output
    logs = [(command.here / f"sweep/{n}/run.log").read_text() for n in range(5)]
    assert ["Traceback" in log for log in logs] == [False, True, True, True, False]
    assert "Traceback" not in ended.err


def test_its_jobs_are_written_down(command: Command) -> None:
    assert command(*SWEEP, "num_epochs=0", "resume=never", "seed=0,1").status == 0
    jobs = json.loads((command.here / "sweep/sweep.json").read_text())["jobs"]
    assert ["resume=never" in job for job in jobs] == [False, False]
    assert [job[-1] for job in jobs] == ["seed=0", "seed=1"]


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
    assert shown.splitlines()[1].startswith("the same everywhere: ")
    assert [line.split()[0] for line in shown.splitlines()[3:7]] == ["0", "1", "2", "3"]
    assert ended.out.endswith("\n\npage: sweep/results.html\n")
    assert (command.here / "sweep" / "results.html").read_text().startswith("<!doctype html>")


def test_a_page_that_cannot_be_written_costs_the_page_alone(command: Command) -> None:
    page = command.here / "sweep" / "results.html"
    page.mkdir(parents=True)
    (page / "kept").touch()
    ended = command(*SWEEP, "num_epochs=0", "seed=0,1")
    assert ended.status == 0
    assert re.search(r"^warning: .*results\.html cannot be written .*$", ended.err, re.MULTILINE)
    assert "page:" not in ended.out
    assert (command.here / "sweep" / "results.csv").exists()


def test_a_folder_that_holds_a_run_takes_no_sweep(command: Command) -> None:
    (command.here / "sweep").mkdir()
    (command.here / "sweep" / "run.json").write_text("{}")
    ended = command(*SWEEP, "seed=0,1")
    assert (ended.status, [path.name for path in (command.here / "sweep").iterdir()]) == (
        2,
        ["run.json"],
    )
    assert "sweep holds a run, and runs do not hold others; choose another" in ended.err


@pytest.mark.slow
def test_the_jobs_share_what_is_the_same_for_all(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ask = run_record._git

    def counted(*words: str) -> bytes | None:
        asked.append(words[0])
        return ask(*words)

    monkeypatch.setattr(run_record, "_git", counted)
    for arguments in (["init", "-q"], ["commit", "-qm", "one", "--allow-empty"]):
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=command.here, check=True)
    assert command(*SWEEP, "seed=0,1,2").status == 0
    assert asked == ["rev-parse", "status", "diff"]
    records = [run_record.read_record(command.here / "sweep" / str(job)) for job in range(3)]
    assert {record["git"]["dirty"] for record in records} == {False}
    assert command(*OF_ALL, "hydra.run.dir=alone").status == 0
    assert asked == ["rev-parse", "status", "diff"] * 2
