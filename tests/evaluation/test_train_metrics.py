from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import legoloop as ll
from tests.tiny import accuracy, tiny


class Seen:
    """What was trained on, by hand."""

    def __init__(self) -> None:
        self.right: list[bool] = []

    def epoch_start(self) -> None:
        self.right = []

    def batch_end(self, step: ll.Step) -> None:
        self.right += (step.outputs["logits"].argmax(dim=1) == step.batch["target"]).tolist()


def test_is_what_the_steps_gave() -> None:
    parts, seen = tiny(), Seen()
    history = ll.History(parts.counter, metrics := ll.TrainMetrics(accuracy))
    parts.host(seen, metrics, history).run()
    assert metrics.scalars() == {"training/accuracy": np.mean(seen.right)}
    assert [set(row) for row in history.rows.values()] == [{"training/accuracy"}] * 2


def test_passes_over_no_data() -> None:
    evaluated, plain = tiny(), tiny()
    with_metrics = evaluated.trained(ll.TrainMetrics(accuracy))
    assert with_metrics == plain.trained()
    assert evaluated.loops["val"].position == 0


def test_goes_on_in_mid_epoch() -> None:
    found: list[dict[str, Any]] = []

    def method(arrays: dict[str, Any]) -> dict[str, float]:
        found.append(arrays)
        return {"samples": len(arrays["target"])}

    whole, resumed = ll.TrainMetrics(method), ll.TrainMetrics(method)
    batches = list(tiny().loops["train"].peek(22))
    for number, batch in enumerate(batches):
        step = ll.Step()
        step.batch, step.outputs, step.size = batch, {"logits": batch["x"]}, len(batch["x"])
        if number == 0:
            whole.epoch_start()
        if number == 3:
            resumed.load_state_dict(whole.state_dict())
        for metrics in (whole, resumed) if number >= 3 else (whole,):
            metrics.batch_end(step)
    whole.epoch_end(), resumed.epoch_end()
    assert whole.scalars() == resumed.scalars() == {"training/samples": 22.0}
    assert all(np.array_equal(found[0][key], found[1][key]) for key in ("logits", "target"))


def test_a_skipped_step_counts_for_nothing() -> None:
    metrics, step = ll.TrainMetrics(accuracy), ll.Step()
    metrics.epoch_start()
    metrics.batch_end(step)
    metrics.epoch_end()
    assert metrics.scalars() == {}


def test_a_key_that_is_nowhere_is_named() -> None:
    metrics = ll.TrainMetrics(accuracy, keys=["logit", "target"])
    with pytest.raises(ll.DataError, match="'logit'"):
        tiny().trained(metrics)


def total(arrays: Any) -> dict[str, float]:
    return {"sum": float(arrays["y"].sum())}


def fed(metrics: ll.TrainMetrics, y: torch.Tensor) -> None:
    step = ll.Step()
    step.batch, step.outputs, step.size = {}, {"y": y}, len(y)
    metrics.batch_end(step)


def test_a_model_may_write_over_its_outputs() -> None:
    metrics, outputs = ll.TrainMetrics(total, keys=["y"]), torch.zeros(2)
    for value in (1.0, 2.0):
        fed(metrics, outputs.fill_(value))
    metrics.epoch_end()
    assert metrics.scalars() == {"training/sum": 6.0}


def test_takes_bfloat16() -> None:
    metrics = ll.TrainMetrics(total, keys=["y"])
    fed(metrics, torch.ones(2, dtype=torch.bfloat16))
    metrics.epoch_end()
    assert metrics.scalars() == {"training/sum": 2.0}


def test_other_keys_begin_with_what_is_yet_to_come() -> None:
    before, after = (ll.TrainMetrics(total, keys=keys) for keys in (["y", "x"], ["y"]))
    step = ll.Step()
    step.batch, step.outputs, step.size = {"x": torch.ones(2)}, {"y": torch.ones(2)}, 2
    before.batch_end(step)
    after.load_state_dict(before.state_dict())
    fed(after, torch.full((2,), 3.0))
    after.epoch_end()
    assert after.scalars() == {"training/sum": 6.0}
