"""What every public writer of scalars keeps to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import legoloop as ll
from tests.told import Told


def an_mlflow_logger(folder: Path, *given: Any) -> ll.MlflowLogger:
    pytest.importorskip("mlflow")
    return ll.MlflowLogger(*given, f"sqlite:///{folder}/mlflow.db")


def a_wandb_logger(folder: Path, *given: Any) -> ll.WandbLogger:
    pytest.importorskip("wandb")
    return ll.WandbLogger(*given, mode="offline", folder=folder)


def a_trackio_logger(folder: Path, *given: Any) -> ll.TrackioLogger:
    pytest.importorskip("trackio")
    return ll.TrackioLogger(*given)


MADE: dict[type, Callable[..., ll.ScalarWriter]] = {
    ll.CsvMetrics: lambda folder, *given: ll.CsvMetrics(folder / "metrics.csv", *given),
    ll.History: lambda folder, *given: ll.History(*given),
    ll.JsonLines: lambda folder, *given: ll.JsonLines(folder / "metrics.jsonl", *given),
    ll.MlflowLogger: an_mlflow_logger,
    ll.Progress: lambda folder, *given: ll.Progress(*given),
    ll.TensorBoard: lambda folder, *given: ll.TensorBoard(*given, folder / "logs"),
    ll.TrackioLogger: a_trackio_logger,
    ll.WandbLogger: a_wandb_logger,
}
every_writer = pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)


def watched(writer: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, dict[str, float]]]:
    """The calls of ``write``, which goes on to do its work."""
    calls: list[tuple[int, dict[str, float]]] = []
    write = writer.write

    def noted(step: int, scalars: dict[str, float]) -> None:
        calls.append((step, dict(scalars)))
        write(step, scalars)

    monkeypatch.setattr(writer, "write", noted)
    return calls


def test_none_is_missing_here() -> None:
    public = [getattr(ll, name) for name in ll.__all__]
    writers = {kind for kind in public if isinstance(kind, type) and hasattr(kind, "write")}
    assert writers - {ll.ScalarWriter} == set(MADE)
    assert all(issubclass(kind, ll.ScalarWriter) for kind in MADE)


@every_writer
def test_serves_any_source_and_writes_a_tag_once_a_step(
    kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter, early, late = ll.Counter(), Told(a=1.0), Told()
    writer: Any = MADE[kind](tmp_path, counter, [early, late])
    calls = watched(writer, monkeypatch)

    counter.steps = 3
    writer.epoch_end()
    late.now = {"b": float("nan")}
    writer.train_end()
    writer.train_end()
    getattr(writer, "close", lambda: None)()

    assert [(step, list(scalars)) for step, scalars in calls] == [(3, ["a"]), (3, ["b"])]


@every_writer
def test_leaves_nothing_on_disk_without_a_scalar(kind: type, tmp_path: Path) -> None:
    writer: Any = MADE[kind](tmp_path, ll.Counter(), Told())
    writer.epoch_end()
    writer.train_end()
    assert list(tmp_path.iterdir()) == []


@every_writer
def test_refuses_a_tag_of_two_sources(kind: type, tmp_path: Path) -> None:
    writer: Any = MADE[kind](tmp_path, ll.Counter(), [Told(a=1.0), Told(a=2.0)])
    with pytest.raises(ll.DataError, match="two sources report 'a'"):
        writer.epoch_end()
