from __future__ import annotations

from pathlib import Path

import numpy as np

import legoloop as ll
from legoloop.state.checkpoints import read_checkpoint, write_checkpoint
from tests.tiny import accuracy, tiny


def a_history(num_epochs: int) -> ll.History:
    parts = tiny(num_epochs=num_epochs)
    acc = parts.loaders_acc(datasets=["val"])
    sources = [ll.TrainLoss(), ll.AccumulatorMetrics(acc, accuracy)]
    history = ll.History(parts.counter, sources)
    parts.host(acc, *sources, history).run()
    return history


def test_rows_and_frame_hold_the_same_numbers() -> None:
    history = a_history(num_epochs=2)

    frame = history.frame()

    assert list(history.rows) == list(frame.index) == [6, 12]
    assert frame.index.name == "step"
    assert frame.loc[12].to_dict() == history.rows[12]
    assert np.isnan(frame.loc[6, "val/accuracy"])


def test_steps_stay_in_order_and_numbers_exact() -> None:
    counter = ll.Counter()
    history = ll.History(counter, ll.TrainLoss())
    history.write(6, {"a": 0.1 + 0.2})
    history.write(12, {"b": 1.0})
    history.write(6, {"b": 2.0})

    frame = history.frame()

    assert frame.index.tolist() == [6, 12]
    assert frame.loc[6].to_dict() == {"a": 0.1 + 0.2, "b": 2.0}


def test_nothing_reported_is_an_empty_frame() -> None:
    assert len(ll.History(ll.Counter(), ll.TrainLoss()).frame()) == 0


def test_its_state_goes_through_a_checkpoint(tmp_path: Path) -> None:
    history = a_history(num_epochs=1)
    write_checkpoint(tmp_path / "6", history.state_dict())

    other = ll.History(ll.Counter(), ll.TrainLoss())
    other.load_state_dict(read_checkpoint(tmp_path / "6"))

    assert other.rows == history.rows
