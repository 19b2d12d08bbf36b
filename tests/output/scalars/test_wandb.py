"""W&B in offline mode, by its own client: what it wrote is read back from its files."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import legoloop as ll
from legoloop.core.variation import Variation
from legoloop.output.scalars import wandb as module
from legoloop.state.checkpoints import read_checkpoint, write_checkpoint
from tests.tiny import accuracy, tiny
from tests.told import Told

BLOCK = 32768
"""The files are logs in the format of LevelDB, of blocks of this size."""


def test_names_the_extra_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(ll.ConfigError, match=r"pip install 'legoloop\[wandb\]'"):
        ll.WandbLogger(ll.Counter(), Told())


def records(file: Path) -> Iterator[Any]:
    """The records of a file that W&B's client wrote, once its process has written all of them."""
    import wandb
    from wandb.proto.wandb_internal_pb2 import Record

    wandb.teardown()
    content, position, parts = file.read_bytes(), 7, b""
    while position + 7 <= len(content):
        if BLOCK - position % BLOCK < 7:  # too small for a head
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


def offline_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("wandb/offline-run-*/*.wandb"))


def the_file(folder: Path) -> Path:
    (file,) = offline_files(folder)
    return file


def history(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """Each row of the one run in a folder: its step, and its scalars."""
    rows = []
    for record in records(the_file(folder)):
        if record.HasField("history"):
            items = record.history.item
            named = {item.key or ".".join(item.nested_key): item.value_json for item in items}
            values = {key: json.loads(text) for key, text in named.items()}
            step = values.get("_step", record.history.step.num)
            rows.append((step, {k: v for k, v in values.items() if not k.startswith("_")}))
    return rows


def told_of(folder: Path) -> Any:
    """What W&B was told of the run when it began."""
    return next(each.run for each in records(the_file(folder)) if each.HasField("run"))


def exit_code(folder: Path) -> int:
    (code,) = (each.exit.exit_code for each in records(the_file(folder)) if each.HasField("exit"))
    return code


def offline(folder: Path, *given: Any, **more: Any) -> ll.WandbLogger:
    pytest.importorskip("wandb")
    given = given or (ll.Counter(), Told())
    return ll.WandbLogger(*given, mode="offline", folder=folder, run_dir=folder, **more)


def reported(logger: ll.WandbLogger, *steps: int) -> None:
    source: Any = logger.sources[0]
    for logger.counter.steps in steps:
        source.now = {"loss": 1 / logger.counter.steps}
        logger.epoch_end()


@pytest.mark.slow
def test_a_run_is_there_with_its_numbers_settings_and_files(tmp_path: Path) -> None:
    parts = tiny(num_epochs=3)
    loops = parts.loops_acc()
    sources = [ll.TrainLoss(), ll.AccumulatorMetrics(loops, accuracy)]
    kept = ll.History(parts.counter, sources)
    (tmp_path / "config.yaml").write_text("seed: 0\noptimizer: {lr: 0.1}\n")
    weights = ll.SaveModelWeights(parts.model, tmp_path / "weights")
    logger = offline(
        tmp_path,
        *(parts.counter, sources),
        params=tmp_path / "config.yaml",
        artifacts=[weights.path],
        tags=["mine"],
        notes="a note",
        variation=Variation({"optimizer.lr": 0.1}, Path("/sweeps/lr")),
    )

    parts.host(logger, kept, loops, *sources, weights).run()

    assert history(tmp_path) == list(kept.rows.items())
    assert exit_code(tmp_path) == 0
    told = told_of(tmp_path)
    assert (told.project, told.run_id) == ("legoloop", logger.run_id)
    assert (told.display_name, told.run_group) == (f"{tmp_path.name} lr=0.1", "sweeps/lr")
    assert (list(told.tags), told.notes) == (["mine"], "a note")
    config = {item.key: json.loads(item.value_json) for item in told.config.update}
    assert (config["seed"], config["optimizer"]) == (0, {"lr": 0.1})
    artifacts = [
        each.request.log_artifact.artifact.name or each.artifact.name
        for each in records(the_file(tmp_path))
        if each.HasField("artifact") or each.request.HasField("log_artifact")
    ]
    assert artifacts == [f"weights-{logger.run_id}"]


ROOT = Path(__file__).parents[3]
IS_KILLED = """
import os, signal, sys
from pathlib import Path
from legoloop.state.checkpoints import write_checkpoint
from tests.output.scalars.test_wandb import offline, reported

folder = Path(sys.argv[1])
first = offline(folder)
first.train_start()
reported(first, 1)
write_checkpoint(folder / "1", first.state_dict())
reported(first, 2)
first.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_as_the_same_with_each_step_once(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    process = [sys.executable, "-c", IS_KILLED, str(tmp_path)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    killed = subprocess.run(process, cwd=ROOT, env={**os.environ, "PYTHONPATH": path})
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.glob("wandb/offline-run-*")
    second = offline(tmp_path)

    second.load_state_dict(read_checkpoint(tmp_path / "1"))
    second.train_start()
    reported(second, 2, 3)
    second.train_end()
    second.close()

    assert left.name.endswith(str(second.run_id))
    assert history(tmp_path) == [(1, {"loss": 1.0}), (2, {"loss": 0.5}), (3, {"loss": 1 / 3})]
    assert exit_code(tmp_path) == 0


@pytest.mark.slow
def test_a_branch_is_a_run_of_its_own(tmp_path: Path) -> None:
    first = offline(tmp_path / "a")
    first.train_start()
    reported(first, 1, 2)
    write_checkpoint(tmp_path / "2", first.state_dict())
    first.train_end()
    first.close()
    before = history(tmp_path / "a")
    branch = offline(tmp_path / "b")
    branch.load_state_dict(read_checkpoint(tmp_path / "2"))
    branch.train_start()
    reported(branch, 3)
    branch.close()

    assert branch.run_id != first.run_id
    assert history(tmp_path / "a") == before == [(1, {"loss": 1.0}), (2, {"loss": 0.5})]
    assert [step for step, _ in history(tmp_path / "b")] == [1, 2, 3]
    assert exit_code(tmp_path / "b") == 1, "its training did not come to its end"


class Online:
    """The part of a ``wandb.Run`` that is used, of a server that has had steps before this one."""

    offline, id = False, "abc"

    def __init__(self, step: int) -> None:
        self.step, self.resumed = step, step > 0
        self.logged: dict[int, dict[str, float]] = {}
        self.summary: dict[str, float] = {}
        self.exit_code: int | None = None

    def log(self, scalars: dict[str, float], step: int) -> None:
        assert step >= self.step, "W&B takes no report of a step that it has passed"
        self.logged[step] = scalars

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code


def test_online_a_resumed_run_is_told_the_steps_that_it_does_not_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wandb = pytest.importorskip("wandb")
    runs = [Online(step=0), Online(step=3)]
    asked: list[dict[str, Any]] = []

    def init(**given: Any) -> Online:
        asked.append(given)
        return runs[len(asked) - 1]

    monkeypatch.setattr(wandb, "init", init)
    first, second = (ll.WandbLogger(ll.Counter(), Told(), run_dir="a") for _ in runs)
    first.train_start()
    reported(first, 1)
    state = first.state_dict()
    reported(first, 2)
    first.flush()
    second.load_state_dict(state)
    second.train_start()
    reported(second, 2)
    second.flush()
    assert (runs[1].logged, runs[1].summary) == ({}, {"loss": 0.5})
    reported(second, 3)
    second.train_end()
    second.close()

    assert [(given["id"], given["resume"]) for given in asked] == [(None, None), ("abc", "allow")]
    assert runs[0].logged | runs[1].logged == {
        1: {"loss": 1.0}, 2: {"loss": 0.5}, 3: {"loss": 1 / 3}
    }  # fmt: skip
    assert runs[1].logged.keys() == {3}
    assert runs[1].exit_code == 0


def test_disabled_it_does_nothing(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    logger = ll.WandbLogger(ll.Counter(), Told(), mode="disabled", folder=tmp_path / "nothing")
    logger.train_start()
    reported(logger, 1)
    logger.train_end()
    logger.close()
    assert list((tmp_path / "nothing").rglob("*.wandb")) == []


def test_without_a_login_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    logger = ll.WandbLogger(ll.Counter(), Told(), mode="online", folder=tmp_path)
    with pytest.raises(ll.DataError, match=r"Weights & Biases did not accept the run \(.*login"):
        logger.train_start()
    logger.close()
