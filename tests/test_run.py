"""The command, mostly in processes of its own: what a run leaves behind, however it ended."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from legoloop.output.scalars.tensorboard import sorted_last
from legoloop.state.run_record import read_record
from legoloop.zoo.toy_data import digits, xor
from tests.app.command import BRICKS, SMALL, Command, environment, in_a_process

pytestmark = pytest.mark.slow  # the command, again and again

DIRECTORY = {
    ".hydra",
    ".run.lock",
    "checkpoints",
    "config.yaml",
    "logs",
    "metrics.csv",
    "plan.txt",
    "predicts.csv",
    "run.json",
    "run.log",
    "targets.csv",
    "weights",
}


@pytest.fixture(scope="module")
def a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run on digits, all else as it ships."""
    here = tmp_path_factory.mktemp("here")
    ended = in_a_process(
        here, "num_epochs=2", "epoch_size=200", "eval_samples=100", "device=cpu", fresh=True
    )
    assert (ended.status, ended.err) == (0, "")
    (directory,) = (here / "outputs").glob("*/*")
    lines = ended.out.splitlines()
    assert lines[0] == f"run directory: {directory.relative_to(here)}"
    assert lines[-1] == "completed: 2 epochs are done"
    return directory


def test_a_run_directory_holds_what_was_promised(a_run: Path) -> None:
    assert {path.name for path in a_run.iterdir()} == DIRECTORY
    assert {path.name for path in (a_run / ".hydra").iterdir()} == {
        "config.yaml",
        "hydra.yaml",
        "overrides.yaml",
    }


def test_the_record_tells_how_the_run_was_made(a_run: Path) -> None:
    record = read_record(a_run)
    assert record["status"] == "COMPLETED"
    assert record["stop_reason"] == "2 epochs are done"
    assert record["seed"] == 0
    assert record["overrides"] == [
        "num_epochs=2",
        "epoch_size=200",
        "eval_samples=100",
        "device=cpu",
    ]
    assert record["started"] < record["ended"]
    assert record["git"] is None
    assert record["versions"]["torch"] == torch.__version__
    assert record["hardware"]["cpus"] >= record["hardware"]["threads"] >= 1


def test_the_plan_has_every_plugin(a_run: Path) -> None:
    _, *rows = (a_run / "plan.txt").read_text().splitlines()
    names = [row.split()[0] for row in rows]
    assert {"counter", "descent", "epoch", "history", "csv", "tensorboard", "progress"} <= {*names}
    assert names.index("descent") < names.index("loops_acc") < names.index("loops_metrics")


def test_metrics_tensorboard_and_record_agree(a_run: Path) -> None:
    table = pd.read_csv(a_run / "metrics.csv", dtype=str).map(float)
    events = EventAccumulator(str(a_run / "logs"), size_guidance={"scalars": 0})
    events.Reload()
    record = read_record(a_run)
    tags = set(table) - {"step", "epoch"}
    assert tags == set(record["final"])
    assert {sorted_last(tag) for tag in tags} == set(events.Tags()["scalars"])
    assert set(record["best"]) == tags - {"lr"}
    assert table["epoch"].tolist() == [1, 2]
    for tag in tags:
        column = table.set_index("step")[tag].dropna()
        logged = {event.step: event.value for event in events.Scalars(sorted_last(tag))}
        assert logged == {step: np.float32(value) for step, value in column.items()}
        assert record["final"][tag] == column.iloc[-1]
    assert record["best"]["val/loss"]["value"] == table["val/loss"].min()
    assert record["best"]["val/accuracy"]["value"] == table["val/accuracy"].max()


def test_the_predictions_have_the_logged_accuracy(a_run: Path) -> None:
    table = pd.read_csv(a_run / "predicts.csv")
    columns = digits(train=False).columns
    assert table["idx"].tolist() == columns["idx"].tolist()
    predicted = table.drop(columns="idx").to_numpy(np.float32).argmax(axis=1)
    accuracy = (predicted == columns["target"].numpy()).mean()
    assert read_record(a_run)["final"]["final/val/accuracy"] == accuracy


REPRODUCE = """
import sys
import numpy as np, pandas as pd, torch
import legoloop as ll
app = ll.compose(["device=cpu"])
app.model().load_state_dict(torch.load(sys.argv[1] + "/weights"))
logits = app.loaders_acc().collect("val")["logits"]
table = pd.read_csv(sys.argv[1] + "/predicts.csv").drop(columns="idx").to_numpy(np.float32)
assert np.array_equal(table, logits)
"""


@pytest.mark.slow
def test_the_weights_reproduce_the_predictions_in_a_fresh_process(
    a_run: Path, tmp_path: Path
) -> None:
    subprocess.run(
        [sys.executable, "-c", REPRODUCE, str(a_run)], cwd=tmp_path, env=environment(), check=True
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_multirun_gives_each_job_a_directory(tmp_path: Path) -> None:
    ended = in_a_process(tmp_path, "-m", *SMALL, "loggers=[csv]", "optimizer.lr=0.1,0.2")
    assert (ended.status, ended.err) == (0, "")
    (sweep,) = (tmp_path / "multirun").glob("*/*")
    for job, rate in enumerate(["0.1", "0.2"]):
        record = read_record(sweep / str(job))
        assert record["status"] == "COMPLETED"
        assert record["overrides"][-1] == f"optimizer.lr={rate}"
        assert (sweep / str(job) / "predicts.csv").is_file()
        assert pd.read_csv(sweep / str(job) / "metrics.csv")["lr"].tolist() == [float(rate)]


@pytest.mark.parametrize("flags", [["--help"], ["--cfg", "job"]], ids=" ".join)
def test_help_and_configuration_import_no_torch(flags: list[str], tmp_path: Path) -> None:
    script = (
        "import sys\n"
        f"sys.argv = ['legoloop-run', *{flags!r}]\n"
        "from legoloop.run import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    assert not {'torch', 'sklearn', 'pandas'} & {*sys.modules}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {"num_epochs", "optimizer"} <= {*re.findall(r"\w+", done.stdout)}
    assert list(tmp_path.iterdir()) == []


def begun(here: Path, *overrides: str) -> subprocess.Popen[str]:
    """A run that would never end, in the middle of an epoch."""
    process = subprocess.Popen(
        [sys.executable, "-m", "legoloop.run", *SMALL, *overrides, "epoch_size=1000000000"],
        cwd=here,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    give_up = time.monotonic() + 120
    while not list(here.glob("outputs/*/*/plan.txt")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < give_up
        time.sleep(0.05)
    return process


def test_interrupted_by_the_user(tmp_path: Path) -> None:
    process = begun(tmp_path, "loggers=[csv]")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    (directory,) = (tmp_path / "outputs").glob("*/*")
    assert (process.returncode, err) == (130, "interrupted\n")
    record = read_record(directory)
    assert record["status"] == "INTERRUPTED"
    assert record["ended"] is not None
    assert not (directory / "weights").exists()


def with_bricks(here: Path) -> dict[str, str]:
    """A user's package ``mine``, and the environment in which it is found."""
    (here / "package").mkdir()
    (here / "package" / "mine.py").write_text(BRICKS.read_text())
    return {"PYTHONPATH": f"{environment()['PYTHONPATH']}:{here / 'package'}"}


def test_a_bug_shows_its_traceback(tmp_path: Path) -> None:
    changes = with_bricks(tmp_path)
    bug = "+plugins.mine={_target_: mine.Divides}"
    ended = in_a_process(tmp_path, *SMALL, "loggers=[]", bug, fresh=True, **changes)
    assert ended.status == 1
    assert "return 1 / 0" in ended.err
    assert ended.err.endswith("ZeroDivisionError: division by zero\n")
    (directory,) = (tmp_path / "outputs").glob("*/*")
    record = read_record(directory)
    assert (record["status"], record["cause"]) == (
        "FAILED",
        "ZeroDivisionError('division by zero')",
    )
    assert "return 1 / 0" in (directory / "run.log").read_text()


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    return Command(tmp_path, monkeypatch, capfd)


def git(here: Path, *words: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    done = subprocess.run(
        ["git", *identity, *words], cwd=here, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def in_a_repository(command: Command, edit: bool) -> dict[str, Any]:
    git(command.here, "init")
    (command.here / "notes").write_text("one\n")
    git(command.here, "add", "notes")
    git(command.here, "commit", "-m", "one")
    if edit:
        (command.here / "notes").write_text("two\n")
    assert command(*SMALL, "loggers=[]", "hydra.run.dir=run").status == 0
    state: dict[str, Any] = read_record(command.here / "run")["git"]
    assert state["commit"] == git(command.here, "rev-parse", "HEAD")
    return state


def test_what_differs_from_the_commit_is_kept(command: Command) -> None:
    assert in_a_repository(command, edit=True)["dirty"] is True
    difference = (command.here / "run" / "git.diff").read_text()
    git(command.here, "checkout", "notes")
    subprocess.run(["git", "apply"], cwd=command.here, input=difference, text=True, check=True)
    assert (command.here / "notes").read_text() == "two\n"


def test_a_clean_commit_needs_no_difference(command: Command) -> None:
    assert in_a_repository(command, edit=False)["dirty"] is False
    assert not (command.here / "run" / "git.diff").exists()


@pytest.mark.parametrize("name", ["a folder", "a,b=c", "(x) [y] {z}", "прогон", "it's"])
def test_a_directory_of_any_name(name: str, command: Command) -> None:
    quoted = "'" + name.replace("'", "\\'") + "'"
    ended = command(*SMALL, "loggers=[csv]", f"hydra.run.dir={quoted}")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines()[0] == f"run directory: {name}"
    assert read_record(command.here / name)["status"] == "COMPLETED"
    assert (command.here / name / "metrics.csv").is_file()


def test_overrides_are_recorded_as_they_were_written(command: Command) -> None:
    assert command(*SMALL, "loggers=[]", "data.seed=${seed}", "hydra.run.dir=run").status == 0
    assert "data.seed=${seed}" in read_record(command.here / "run")["overrides"]


def test_predictions_of_two_classes_are_one_column(command: Command) -> None:
    assert command(*SMALL, "loggers=[]", "hydra.run.dir=run").status == 0
    table = pd.read_csv(command.here / "run" / "predicts.csv")
    assert list(table) == ["idx", "logit0"]
    assert table["idx"].tolist() == list(range(len(xor(train=False))))


def test_no_epochs_measure_the_model_as_it_is_made(command: Command) -> None:
    ended = command(*SMALL, "loggers=[csv]", "num_epochs=0", "hydra.run.dir=run")
    assert (ended.status, ended.out.splitlines()[-1]) == (0, "completed: 0 epochs are done")
    record = read_record(command.here / "run")
    assert set(record["final"]) >= {"final/val/accuracy", "final/train/accuracy"}
