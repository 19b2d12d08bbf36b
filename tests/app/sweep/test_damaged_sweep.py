"""A sweep some of whose files are damaged: they are named, and the other jobs go on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from legoloop.core.errors import ConfigError
from legoloop.state.run_record import DamagedRecord, mark_failed_if_abandoned, read_record
from legoloop.state.sweep_record import lock_sweep
from tests.app.command import SMALL, Command

SWEEP = ("-m", *SMALL, "num_epochs=0", "loggers=[]", "plugins=[default]", "hydra.sweep.dir=sweep")
DAMAGES: dict[str, Any] = {
    "empty": b"",
    "truncated": b'{"status": "RUNN',
    "null": b"null",
    "a list": b"[]",
    "no text": b"\xff\xfe",
    "deep": b"[" * 100_000,
    "no attempts": b'{"status": "FAILED", "attempts": null}',
    "attempts of nothing": b'{"status": "RUNNING", "attempts": [null]}',
    "another git": b'{"status": "FAILED", "git": 3}',
    "a directory": os.mkdir,
    "a FIFO": os.mkfifo,
    "a device": lambda path: os.symlink("/dev/zero", path),
}


def damage(file: Path, how: Any) -> None:
    """Put something else in the place of a file."""
    file.unlink()
    if isinstance(how, bytes):
        file.write_bytes(how)
    else:
        how(file)


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    return Command(tmp_path, monkeypatch, capfd)


@pytest.fixture
def record(tmp_path: Path) -> Path:
    file = tmp_path / "run.json"
    file.touch()
    return file


@pytest.mark.parametrize("how", DAMAGES.values(), ids=DAMAGES)
def test_a_record_that_is_none_is_told_and_left_as_it_is(record: Path, how: Any) -> None:
    damage(record, how)
    with pytest.raises(DamagedRecord, match=r"run\.json ") as told:
        read_record(record.parent)
    assert "\n" not in str(told.value)
    before = record.stat()
    mark_failed_if_abandoned(record.parent, "gone", overrides=[])
    assert record.stat() == before


@pytest.mark.slow
def test_every_damaged_job_is_named_and_the_others_go_on(command: Command) -> None:
    number = len(DAMAGES)
    seeds = f"seed={','.join(map(str, range(number + 2)))}"
    assert command(*SWEEP, seeds).status == 0
    sweep = command.here / "sweep"
    whole = [(sweep / str(n)) for n in (number, number + 1)]
    for n, how in enumerate(DAMAGES.values()):
        (sweep / str(n) / "weights").write_bytes(b"kept")
        damage(sweep / str(n) / "run.json", how)
    shutil.rmtree(whole[1])
    (sweep / "results.csv").unlink()
    (sweep / "results.csv").mkdir()
    (sweep / "multirun.yaml").unlink()
    (sweep / "multirun.yaml").mkdir()
    again = command(*SWEEP, seeds)
    assert again.status == 1
    assert "Traceback" not in again.out + again.err
    for n in range(number):
        told = [line for line in again.err.splitlines() if f"/{n}/run.json" in line]
        assert len(told) == 1, (n, told)
        assert (sweep / str(n) / "weights").read_bytes() == b"kept"
    assert [read_record(run)["status"] for run in whole] == ["COMPLETED"] * 2
    for name in ("results.csv", "multirun.yaml"):
        assert f"{name} cannot be written" in again.err
    listed = {line.split()[0] for line in again.out.splitlines() if line.strip()}
    assert listed >= {f"{number}", f"{number + 1}"}


@pytest.mark.slow
def test_a_job_whose_folder_cannot_be_used_ends_alone(command: Command) -> None:
    sweep = command.here / "sweep"
    sweep.mkdir()
    (sweep / "0").touch()
    for n, name in ((1, ".hydra"), (2, "checkpoints"), (3, "config.yaml"), (4, "run.log")):
        (sweep / str(n)).mkdir()
        (sweep / str(n) / name).touch()
    (sweep / "4" / "run.log").unlink()
    (sweep / "4" / "run.log").mkdir()
    ended = command(*SWEEP, "seed=0,1,2,3,4,5")
    assert ended.status == 1
    assert "Traceback" not in ended.out + ended.err
    assert read_record(sweep / "5")["status"] == "COMPLETED"


def changed(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda record: {**record, **values}


SWEEP_DAMAGES = [
    changed(configurations=[]),
    changed(configurations=None),
    changed(configurations=3),
    changed(jobs=None),
    changed(jobs={}),
    lambda record: [],
    lambda record: None,
    lambda record: {},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lock_sweep(tmp_path, [["seed=0"]], [{"seed": 0}]).release()
    return tmp_path


@pytest.mark.parametrize("change", SWEEP_DAMAGES)
def test_a_sweep_whose_record_is_damaged_is_refused(folder: Path, change: Any) -> None:
    file = folder / "sweep.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    before = file.read_bytes()
    with pytest.raises(ConfigError, match=r"sweep.json is no record of a sweep"):
        lock_sweep(folder, [["seed=0"]], [{"seed": 0}], resume="auto")
    assert file.read_bytes() == before


@pytest.mark.parametrize("how", DAMAGES.values(), ids=DAMAGES)
def test_what_lies_in_the_place_of_a_sweeps_record_is_named(folder: Path, how: Any) -> None:
    damage(folder / "sweep.json", how)
    with pytest.raises(ConfigError, match=r"sweep\.json "):
        lock_sweep(folder, [["seed=0"]], [{"seed": 0}], resume="auto")
