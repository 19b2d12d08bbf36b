"""Resuming one run: the same bits as a run without a fault, and what is refused.

Resuming a sweep is tested in sweep/test_resumed_sweep.py; that the state of each plugin is whole,
in tests/contracts/test_resume*.py; a run with everything on, killed, in test_everything_on.py.
"""

from __future__ import annotations

import csv
import json
import math
import subprocess
from pathlib import Path
from typing import Any

import pytest
from torch import ones
from torch.nn import Linear

import legoloop as ll
from legoloop.app.run import resume
from legoloop.core.errors import DataError
from tests.app.command import Command, beside_bricks_of_a_user

pytestmark = pytest.mark.slow  # the command, again and again

# Five epochs of four steps; the fault, if there is one, is in the third.
RUN = (
    "data=xor",
    "model=mlp",
    "model.hidden=[8]",
    "model.dropout=0.3",
    "num_epochs=5",
    "epoch_size=64",
    "eval_samples=64",
    "data.loaders.default.batch_size=16",
    "+plugins.faulty={_target_: mine.FailsOnce, path: fault}",
    "loggers=[csv]",
)


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    return beside_bricks_of_a_user(tmp_path, monkeypatch, capfd)


def record(run: Path) -> Any:
    return json.loads((run / "run.json").read_text())


def outcome(run: Path) -> list[bytes]:
    """All that a user reads, byte for byte."""
    return [(run / name).read_bytes() for name in ("weights", "metrics.csv", "predicts.csv")]


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def failed(command: Command, *more: str) -> Path:
    (command.here / "fault").touch()
    assert command(*RUN, "hydra.run.dir=run", *more).status == 1
    assert not (command.here / "fault").exists()
    return command.here / "run"


def test_the_same_command_again_goes_on(command: Command) -> None:
    assert command(*RUN, "hydra.run.dir=whole").status == 0
    run = failed(command)
    ended = command(*RUN, "hydra.run.dir=run")
    assert ended.status == 0
    assert "resumed from: run/checkpoints/8" in ended.out
    assert outcome(run) == outcome(command.here / "whole")
    assert record(run)["final"] == record(command.here / "whole")["final"]
    attempts = record(run)["attempts"]
    assert [each["status"] for each in attempts] == ["FAILED", "COMPLETED"]
    assert attempts[1]["resumed_from"] == "checkpoints/8"
    assert "cause" not in record(run)


def test_a_finished_run_is_refused(command: Command) -> None:
    command(*RUN, "hydra.run.dir=run")
    before = files(command.here)
    ended = command(*RUN, "hydra.run.dir=run")
    assert ended.status == 2
    assert ended.err.startswith(
        f"error: hydra.run.dir (command line): {command.here}/run holds a run already (C"
    )
    assert len(ended.err.splitlines()) == 1
    assert files(command.here) == before


def test_whether_to_go_on_may_be_said(command: Command) -> None:
    failed(command)
    before = files(command.here)
    never = command(*RUN, "hydra.run.dir=run", "resume=never")
    must = command(*RUN, "hydra.run.dir=other", "resume=must")
    odd = command(*RUN, "hydra.run.dir=other", "resume=perhaps")
    assert [ended.status for ended in (never, must, odd)] == [2, 2, 2]
    assert "holds a run already (FAILED, started " in never.err
    assert must.err.strip() == (
        f"error: resume (command line): is must, but hydra.run.dir, {command.here}/other, holds "
        "no run to resume; name the directory of one"
    )
    assert odd.err.strip() == (
        "error: resume (command line): is 'perhaps'; give auto, never, must, a run directory or a "
        "checkpoint"
    )
    assert files(command.here) == before
    assert command(*RUN, "hydra.run.dir=run", "resume=must").status == 0


def test_another_configuration_is_shown_and_refused(command: Command) -> None:
    run = failed(command)
    before = files(command.here)
    ended = command(*RUN, "hydra.run.dir=run", "optimizer.lr=0.1", "num_epochs=6")
    assert ended.status == 2
    assert ended.err == (
        f"error: hydra.run.dir (command line): {run} holds a run of another configuration: "
        "num_epochs was 5, is 6; plugins.last.num_epochs was 5, is 6; optimizer.lr was 0.001, "
        "is 0.1. Choose another directory, or resume it all the same with on_config_change=accept\n"
    )
    assert files(command.here) == before


@pytest.mark.parametrize(("first", "then"), [("false", "true"), ("true", "false")])
def test_looking_where_the_time_goes_is_no_change(command: Command, first: str, then: str) -> None:
    assert command(*RUN, "hydra.run.dir=whole").status == 0
    run = failed(command, f"profile={first}")
    assert (run / "profile.txt").exists() == (first == "true")
    assert command(*RUN, "hydra.run.dir=run", f"profile={then}").status == 0
    assert outcome(run) == outcome(command.here / "whole")
    assert (run / "profile.txt").exists()


def test_told_to_it_goes_on_with_another_configuration(command: Command) -> None:
    run = failed(command)
    changes = ("num_epochs=6", "optimizer.lr=0.5", "scheduler=cosine", "~plugins.train_loss")
    ended = command(*RUN, "hydra.run.dir=run", *changes, "on_config_change=accept")
    assert ended.status == 0
    assert "completed: 6 epochs are done" in ended.out
    rates = [
        float(row["lr"]) for row in csv.DictReader((run / "metrics.csv").read_text().splitlines())
    ]
    assert len(rates) == 6
    curve = [0.25 * (1 + math.cos(math.pi * epoch / 6)) for epoch in range(6)]
    trained = next(n for n, rate in enumerate(rates) if rate != 0.001)
    assert rates[trained:] == pytest.approx(curve[trained:])


def test_other_plugins_start_afresh_when_told_to(command: Command) -> None:
    run = failed(command)
    ended = command(*RUN, "hydra.run.dir=run", "~plugins.history", "on_config_change=accept")
    assert ended.status == 0
    assert "those on one side alone start afresh, or are dropped" in ended.err
    assert record(run)["status"] == "COMPLETED"


def test_a_checkpoint_begins_a_run_of_its_own(command: Command) -> None:
    assert command(*RUN, "hydra.run.dir=whole").status == 0
    run = failed(command)
    before = files(run)
    for number, named in enumerate(("run", "run/checkpoints/8")):
        ended = command(*RUN, f"hydra.run.dir=branch{number}", f"resume={named}")
        assert ended.status == 0
        branch = command.here / f"branch{number}"
        assert outcome(branch) == outcome(command.here / "whole")
        assert record(branch)["attempts"][0]["resumed_from"].endswith("run/checkpoints/8")
    assert files(run) == before


def test_a_checkpoint_is_found_from_wherever_hydra_leads_to(command: Command) -> None:
    failed(command)
    there = ("resume=run", "hydra.job.chdir=true")
    once = command(*RUN, *there, "hydra.run.dir=once")
    assert once.status == 0, once.err
    swept = command("-m", *RUN, *there, "hydra.sweep.dir=swept")
    assert swept.status == 0, swept.err


def test_a_checkpoint_of_another_configuration_is_refused(command: Command) -> None:
    failed(command)
    changed = ("hydra.run.dir=branch", "resume=run", "optimizer.lr=0.1")
    ended = command(*RUN, *changed)
    assert ended.status == 2
    assert "optimizer.lr was 0.001, is 0.1" in ended.err
    assert not (command.here / "branch").exists()
    assert command(*RUN, *changed, "on_config_change=accept").status == 0


def test_what_nothing_can_go_on_from_is_put_aside(command: Command) -> None:
    plain = ("plugins=[default]", "loggers=[csv,tensorboard]")
    assert command(*RUN, *plain, "hydra.run.dir=whole").status == 0
    run = failed(command, *plain)
    left = (run / "metrics.csv").read_bytes()
    assert command(*RUN, *plain, "hydra.run.dir=run").status == 0
    assert outcome(run) == outcome(command.here / "whole")
    assert (run / "attempts" / "1" / "metrics.csv").read_bytes() == left
    assert len(list((run / "logs").iterdir())) == 1
    assert "resumed_from" not in record(run)["attempts"][1]


def test_a_checkpoint_that_it_cannot_go_on_from_leaves_all_as_it_is(command: Command) -> None:
    run = failed(command, "epoch_size=48")  # an epoch ends in the middle of a pass over the data
    before = files(run)
    changed = ("epoch_size=48", "on_config_change=accept", "+data.loaders.default.shuffle=false")
    for more in (("hydra.run.dir=run",), ("hydra.run.dir=branch", "resume=run")):
        ended = command(*RUN, *changed, *more)
        assert ended.status == 1
        assert "is in the middle of a pass, whose order cannot change: shuffle was" in ended.err
        assert files(run) == before
        assert not (command.here / "branch").exists()


def test_what_does_not_fit_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Host:
        def load_state_dict(self, state: Any, strict: bool) -> None:
            Linear(1, 1).load_state_dict({"weight": ones(1, 1), "bias": ones(1), "hidden": ones(1)})

    monkeypatch.setattr(resume, "read_checkpoint", lambda path: {})
    with pytest.raises(DataError) as raised:
        resume.load_checkpoint_into(Host(), Path("run/8"))  # type: ignore[arg-type]
    assert str(raised.value) == (
        "run/8: is not the state of a run like this one "
        '(Unexpected key(s) in state_dict: "hidden".)'
    )


def test_a_checkpoint_that_the_model_cannot_take_says_why_and_what_changed(
    command: Command,
) -> None:
    run = failed(command)
    before = files(run)
    ended = command(*RUN, "hydra.run.dir=run", "on_config_change=accept", "model.hidden=[3]")
    assert ended.status == 1
    assert "is not the state of a run like this one (size mismatch for layers.0.0.w" in ended.err
    assert "; what changed: model.hidden was [8], is [3]" in ended.err
    assert ended.err.count("\n") == 1
    assert files(run) == before


def table(command: Command, rows: int, first: int = 0) -> tuple[str, str]:
    """The data of a run as a CSV file; the overrides that train on it."""
    lines = ["x,target", *(f"{n % 7},{n % 2}" for n in range(first, first + rows))]
    (command.here / "points.csv").write_text("\n".join(lines))
    return "data.datasets.train._target_=mine.Table", "+data.datasets.train.path=points.csv"


def test_other_data_are_refused_like_another_configuration(command: Command) -> None:
    data = table(command, rows=443)
    run = failed(command, *data)
    first = record(run)
    before = files(run)
    table(command, rows=200)
    ended = command(*RUN, "hydra.run.dir=run", *data)
    assert ended.status == 2
    assert ended.err.startswith(
        f"error: hydra.run.dir (command line): {run} holds a run of another configuration: the "
        f"samples of data.datasets.train are others (digest {first['data']['train']}, now "
    )
    assert files(run) == before

    table(command, rows=443, first=1)
    accepted = command(*RUN, "hydra.run.dir=run", *data, "on_config_change=accept")
    assert accepted.status == 0
    one, other = record(run)["attempts"]
    assert one["data"] == first["data"]
    assert other["data"] == record(run)["data"]
    assert one["data"]["train"] != other["data"]["train"]
    assert one["data"]["val"] == other["data"]["val"]
    assert one["versions"] == other["versions"] == record(run)["versions"]
    assert one["threads"] == other["threads"] == record(run)["hardware"]["threads"]


def test_a_start_that_cannot_be_built_leaves_the_run_as_it_is(command: Command) -> None:
    data = table(command, rows=128)
    assert command(*RUN, *data, "hydra.run.dir=whole").status == 0
    run = failed(command, *data)
    before = files(run)
    made = record(run)
    (command.here / "points.csv").rename(command.here / "away.csv")
    ended = command(*RUN, "hydra.run.dir=run", *data)
    assert ended.status == 1
    assert "points.csv" in ended.err
    after = files(run)
    changed = {name for name in {**before, **after} if before.get(name) != after.get(name)}
    assert changed <= {"run.json", "run.log", ".hydra/config.yaml", ".hydra/hydra.yaml"}
    assert [each["status"] for each in record(run)["attempts"]] == ["FAILED", "FAILED"]
    for key in ("data", "git", "versions", "blueprint"):
        assert record(run)[key] == made[key]

    (command.here / "away.csv").rename(command.here / "points.csv")
    ended = command(*RUN, "hydra.run.dir=run", *data)
    assert ended.status == 0
    assert "resumed from: run/checkpoints/8" in ended.out
    assert outcome(run) == outcome(command.here / "whole")


def test_without_the_plugin_that_kept_them_its_checkpoints_are_found(command: Command) -> None:
    failed(command)
    less = ("~plugins.checkpoints", "on_config_change=accept")
    ended = command(*RUN, "hydra.run.dir=run", *less)
    assert ended.status == 0
    assert "resumed from: run/checkpoints/8" in ended.out


def test_other_code_is_refused(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> None:
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        subprocess.run(["git", *identity, *words], check=True, cwd=command.here)

    git("init", "-q")
    (command.here / "net.py").write_text("width = 8\n")
    git("add", "net.py")
    git("commit", "-qm", "one")
    failed(command)
    (command.here / "net.py").write_text("width = 9\n")
    ended = command(*RUN, "hydra.run.dir=run")
    assert ended.status == 2
    assert "what differs from the commit (git.diff) is not the same" in ended.err
    git("commit", "-qam", "two")
    ended = command(*RUN, "hydra.run.dir=run")
    assert ended.status == 2
    assert "the code was commit " in ended.err
    assert command(*RUN, "hydra.run.dir=run", "on_config_change=accept").status == 0


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(command: Command) -> None:
    assert command(*RUN, "hydra.run.dir=whole").status == 0
    run = failed(command)
    state = run / "checkpoints" / "8" / "state.pt"
    state.write_bytes(state.read_bytes()[:-1])
    ended = command(*RUN, "hydra.run.dir=run")
    assert ended.status == 0
    assert "checkpoints/8/state.pt is damaged" in ended.err
    assert "resumed from: run/checkpoints/4" in ended.out
    assert outcome(run) == outcome(command.here / "whole")


def test_composed_in_code_it_goes_on_too(command: Command) -> None:
    assert command(*RUN, "hydra.run.dir=whole").status == 0
    run = failed(command)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(command.here)
        ll.compose([*RUN, "hydra.run.dir=run"]).host().run()
        with pytest.raises(ll.ConfigError, match="holds a run already"):
            ll.compose([*RUN, "hydra.run.dir=run"])
    assert outcome(run) == outcome(command.here / "whole")
    assert "the run completed: 5 epochs are done" in (run / "run.log").read_text()


def test_what_a_killed_attempt_had_begun_to_write_is_cleared_away(command: Command) -> None:
    run = failed(command)
    (run / ".metrics.csv.4711.tmp").write_text("half a")
    (run / "checkpoints" / ".12.4711.tmp").mkdir()
    assert command(*RUN, "hydra.run.dir=run").status == 0
    assert [path.name for path in run.rglob("*.tmp")] == []
