"""W&B in offline mode, by its own client: what it wrote is read back from its files."""

from __future__ import annotations

import json
import struct
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


@pytest.mark.slow
def test_a_killed_run_goes_on_as_the_same_with_each_step_once(tmp_path: Path) -> None:
    first = offline(tmp_path)
    first.train_start()
    reported(first, 1)
    write_checkpoint(tmp_path / "1", first.state_dict())
    reported(first, 2)
    first.run.finish(exit_code=255)  # as W&B's own process does once the other is gone
    (left,) = offline_files(tmp_path)
    second = offline(tmp_path)

    second.load_state_dict(read_checkpoint(tmp_path / "1"))
    second.train_start()
    reported(second, 2, 3)
    second.train_end()
    second.close()

    assert second.run_id == first.run_id
    assert not left.exists()
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
