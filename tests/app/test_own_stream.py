"""A run without a data set: its epoch driver has a stream of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import legoloop as ll
from tests.app.composed import refusal
from tests.app.killed import assert_a_killed_run_leaves_the_same, trained

ENDLESS = "+plugins.epoch.train_iterator={_target_: tests.streams_of_others.endless}"
STREAM = (
    *("data=own_stream", "model=adapted", "model.inputs=[x]", "num_epochs=2", "loggers=[csv]"),
    "model.module={_target_: torch.nn.Linear, in_features: 4, out_features: 3}",
)


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    """In its second pass, within an epoch: the loader has no position, and is read again."""
    app = assert_a_killed_run_leaves_the_same(tmp_path, 4, *STREAM, ENDLESS)
    assert (app.counter().steps, app.counter().samples) == (6, 20)
    record = json.loads((tmp_path / "killed" / "run.json").read_text())
    assert [each["status"] for each in record["attempts"]] == ["FAILED", "COMPLETED"]


def test_a_data_set_that_is_there_is_evaluated(tmp_path: Path) -> None:
    given = "+data.datasets.val={_target_: tests.streams_of_others.CountedReads}"
    app = trained(tmp_path / "run", *STREAM, ENDLESS, given)
    final = app.loaders_metrics().scalars()
    columns = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert "val/accuracy" in columns
    assert not [name for name in columns if name.startswith("train/")]
    assert 0 <= final["final/val/accuracy"] <= 1


def test_it_is_measured_as_it_is_trained(tmp_path: Path) -> None:
    trained(tmp_path / "run", *STREAM, ENDLESS, "plugins=[default,checkpoints,train_metrics]")
    assert "training/accuracy" in (tmp_path / "run" / "metrics.csv").read_text()


def test_its_model_is_loaded(tmp_path: Path) -> None:
    app = trained(tmp_path / "run", *STREAM, ENDLESS)
    loaded = ll.load(tmp_path / "run")
    assert torch.equal(loaded.weight, app.model().weight)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            (),
            "data.datasets (conf/data/own_stream.yaml): there is no data set 'train'; choose an "
            "option with data=…, or give plugins.epoch.train_iterator a stream",
        ),
        (
            (ENDLESS, "ranks=2"),
            "ranks (command line): is 2, but the training stream, a LoaderStream, does not serve "
            "each rank its share of a batch; ",
        ),
        (
            (ENDLESS, "debug=overfit"),
            "plugins.overfitting (conf/debug/overfit.yaml): epoch trains on a LoaderStream, which "
            "does not repeat a few batches; give it a RepeatedBatches as train_iterator, or ",
        ),
        (
            ("+plugins.epoch.train_iterator={_target_: legoloop.LoaderStream, loader: 3}",),
            "plugins.epoch.train_iterator.loader (command line): is 3, a whole number; ",
        ),
        (
            ("+plugins.epoch.train_iterator={_target_: tests.streams_of_others.Lines}",),
            "plugins.epoch.train_iterator (command line): is a Lines, which is no iterator; give a "
            "BatchStream of its data set, a LoaderStream of a DataLoader, or an endless iterator",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(overrides: tuple[str, ...], message: str) -> None:
    said = refusal(*STREAM[:6], *overrides)
    assert said.startswith(message)
    assert "\n" not in said
