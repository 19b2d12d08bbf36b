from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import legoloop as ll
from tests.tiny import accuracy, tiny


@pytest.mark.parametrize(
    ("when", "measured"),
    [("epoch_end", [True, True, True, False]), ("train_end", [False, False, False, True])],
)
def test_measures_at_the_end_of_what_the_evaluation_says(when: Any, measured: list[bool]) -> None:
    seen: list[bool] = []

    class Reads:
        def __init__(self, source: ll.AccumulatorMetrics) -> None:
            self.source = source

        def epoch_end(self) -> None:
            seen.append(bool(self.source.scalars()))

        def train_end(self) -> None:
            seen.append(bool(self.source.scalars()))

    parts = tiny(num_epochs=3)
    acc = parts.loaders_acc(when=when)
    metrics = ll.AccumulatorMetrics(acc, accuracy)

    parts.host(Reads(metrics), metrics, acc).run()

    assert seen == measured


def test_equals_the_metric_of_all_samples_computed_directly() -> None:
    parts = tiny(batch_size=4)
    acc = parts.loaders_acc()
    metrics = ll.AccumulatorMetrics(acc, accuracy, prefix="final/")

    parts.host(acc, metrics).run()

    arrays = acc.collect("train")
    expected = float((arrays["logits"].argmax(1) == arrays["target"]).mean())
    assert metrics.scalars()["final/train/accuracy"] == expected
    assert set(metrics.scalars()) == {"final/train/accuracy", "final/val/accuracy"}


def test_scalars_are_plain_floats_whatever_the_method_gives() -> None:
    class Evaluation:
        when, datasets = "epoch_end", ("val",)

        def collect(self, name: str) -> dict[str, Any]:
            return {}

    metrics = ll.AccumulatorMetrics(
        Evaluation(), lambda acc: {"a": np.float32(0.5), "b": np.int64(3), "c": np.array(2.0)}
    )
    metrics.epoch_end()

    assert metrics.scalars() == {"val/a": 0.5, "val/b": 3.0, "val/c": 2.0}
    assert {type(value) for value in metrics.scalars().values()} == {float}


def test_a_metric_cannot_change_what_others_read() -> None:
    from legoloop.evaluation.accumulators import NumpyAccumulator

    accumulator = NumpyAccumulator()
    accumulator.add([3, 1, 2])
    with pytest.raises(ValueError, match="read-only"):
        accumulator.result().sort()
    assert accumulator.result().tolist() == [3, 1, 2]
