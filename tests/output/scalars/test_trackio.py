"""trackio, by its own client and database. It needs an older pillow than constraints.txt pins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import legoloop as ll
from legoloop.core.variation import Variation
from legoloop.output.scalars import trackio as module
from legoloop.state.checkpoints import read_checkpoint, write_checkpoint
from tests.tiny import accuracy, tiny
from tests.told import Told


def test_names_the_extra_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(ll.ConfigError, match=r"pip install 'legoloop\[trackio\]'"):
        ll.TrackioLogger(ll.Counter(), Told())


@pytest.fixture
def storage() -> Any:
    """The database of trackio."""
    return pytest.importorskip("trackio.sqlite_storage").SQLiteStorage


def rows(storage: Any, project: str, name: str | None) -> list[tuple[int, dict[str, float]]]:
    return [
        (row["step"], {key: v for key, v in row.items() if key not in ("step", "timestamp")})
        for row in storage.get_logs(project, name)
    ]


def logger_of(run_dir: str, project: str, **more: Any) -> ll.TrackioLogger:
    return ll.TrackioLogger(ll.Counter(), Told(), project=project, run_dir=run_dir, **more)


def reported(logger: ll.TrackioLogger, *steps: int) -> None:
    source: Any = logger.sources[0]
    for logger.counter.steps in steps:
        source.now = {"loss": 1 / logger.counter.steps}
        logger.epoch_end()


@pytest.mark.slow
def test_a_run_is_there_with_its_numbers_and_settings(storage: Any, tmp_path: Path) -> None:
    parts = tiny(num_epochs=3)
    loops = parts.loops_acc()
    sources = [ll.TrainLoss(), ll.AccumulatorMetrics(loops, accuracy)]
    kept = ll.History(parts.counter, sources)
    (tmp_path / "config.yaml").write_text("seed: 0\noptimizer: {lr: 0.1}\n")
    logger = ll.TrackioLogger(
        parts.counter,
        sources,
        project="whole",
        params=tmp_path / "config.yaml",
        tags=["mine"],
        run_dir="sweeps/lr/0",
        variation=Variation({"optimizer.lr": 0.1}, Path("/sweeps/lr")),
    )

    parts.host(logger, kept, loops, *sources).run()

    assert storage.get_runs("whole") == ["0 lr=0.1"]
    assert rows(storage, "whole", "0 lr=0.1") == list(kept.rows.items())
    config = storage.get_run_config("whole", "0 lr=0.1")
    assert (config["seed"], config["optimizer.lr"], config["tags"]) == (0, 0.1, ["mine"])
    assert config["_Group"] == "sweeps/lr"


@pytest.mark.slow
def test_a_killed_run_goes_on_as_the_same_with_each_step_once(storage: Any, tmp_path: Path) -> None:
    first = logger_of("a", "killed")
    first.train_start()
    reported(first, 1)
    write_checkpoint(tmp_path / "1", first.state_dict())
    reported(first, 2)
    first.run.finish()  # writes what is queued; then the process is killed
    second = logger_of("a", "killed")

    second.load_state_dict(read_checkpoint(tmp_path / "1"))
    second.train_start()
    reported(second, 1, 2, 3)
    second.train_end()
    second.close()

    assert storage.get_runs("killed") == ["a"]
    assert rows(storage, "killed", "a") == [
        (1, {"loss": 1.0}), (2, {"loss": 0.5}), (3, {"loss": 1 / 3})
    ]  # fmt: skip


@pytest.mark.slow
def test_a_branch_and_another_run_of_that_name_are_runs_of_their_own(
    storage: Any, tmp_path: Path
) -> None:
    first = logger_of("a", "branch")
    first.train_start()
    reported(first, 1, 2)
    write_checkpoint(tmp_path / "2", first.state_dict())
    first.close()
    branch, other = logger_of("b", "branch"), logger_of("elsewhere/a", "branch")
    branch.load_state_dict(read_checkpoint(tmp_path / "2"))
    for logger in (branch, other):
        logger.train_start()
        reported(logger, 3)
        logger.close()

    told = {name: [step for step, _ in rows(storage, "branch", name)] for name in ("a", "b")}
    assert told == {"a": [1, 2], "b": [1, 2, 3]}
    assert [step for step, _ in rows(storage, "branch", "a (2)")] == [3]
