"""A plugin that only looks and fails: the run completes, and its record says what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

import legoloop as ll
from legoloop.state.run_record import read_record
from tests.app.command import Command

TABLE = ("data=xor", "num_epochs=1", "epoch_size=64", "loggers=[csv]", "device=cpu")
LOOKING = "plugins=[default,checkpoints,worst_errors]"


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    return Command(tmp_path, monkeypatch, capfd)


def test_worst_errors_of_a_table_cost_their_own_files(command: Command) -> None:
    ended = command(*TABLE, LOOKING, "hydra.run.dir=run")
    run = command.here / "run"
    assert ended.status == 0
    (told,) = ended.err.splitlines()
    assert told.startswith("WARNING: worst_errors failed and is left out, the run goes on: ")
    assert ended.out.splitlines()[-1] == "completed: 1 epochs are done"
    record = read_record(run)
    assert record["status"] == "COMPLETED"
    assert list(record["failed_plugins"]) == ["worst_errors"]
    assert record["failed_plugins"]["worst_errors"] in told
    assert record["failed_plugins"]["worst_errors"] in (run / "run.log").read_text()
    assert not list(run.glob("worst_errors*"))

    assert command(*TABLE, "hydra.run.dir=plain").status == 0
    plain = command.here / "plain"
    assert "failed_plugins" not in read_record(plain)
    for file in ("weights", "predicts.csv", "metrics.csv"):
        assert (run / file).read_bytes() == (plain / file).read_bytes()


def test_in_a_notebook_it_is_told_on_the_terminal_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # pytest has a handler of its own for what is logged.
    monkeypatch.setattr("logging.Logger.hasHandlers", lambda log: False)
    ll.compose([*TABLE, LOOKING, f"hydra.run.dir={tmp_path / 'run'}"]).host().run()
    (told,) = capfd.readouterr().err.splitlines()
    assert told.startswith("WARNING: worst_errors failed and is left out, the run goes on: ")
    assert told.removeprefix("WARNING: ") in (tmp_path / "run" / "run.log").read_text()
