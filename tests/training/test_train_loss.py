from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from tests.tiny import tiny


def fed(loss: ll.TrainLoss, pairs: list[tuple[float, int]]) -> None:
    step = ll.Step()
    for value, step.size in pairs:
        step.loss = torch.tensor(value, dtype=torch.float64)
        loss.batch_end(step)


pairs = st.lists(st.tuples(st.floats(-100, 100), st.integers(1, 64)), min_size=1, max_size=20)


@given(pairs)
def test_is_the_mean_over_samples_not_over_batches(given_pairs: list[tuple[float, int]]) -> None:
    loss = ll.TrainLoss()
    fed(loss, given_pairs)

    total = sum(value * size for value, size in given_pairs)
    expected = total / sum(size for _, size in given_pairs)
    assert abs(loss.scalars()["loss"] - expected) < 1e-9


def test_says_nothing_before_the_first_batch_of_an_epoch() -> None:
    loss = ll.TrainLoss(tag="mean")
    assert loss.scalars() == {}
    fed(loss, [(2.0, 3)])
    assert loss.scalars() == {"mean": 2.0}
    loss.epoch_start()
    assert loss.scalars() == {}


def test_adds_on_from_its_state() -> None:
    first, second = ll.TrainLoss(), ll.TrainLoss()
    fed(first, [(1.0, 1)])
    second.load_state_dict(first.state_dict())
    fed(second, [(2.0, 3)])
    assert second.scalars() == {"loss": 1.75}


def test_reports_the_losses_the_run_was_trained_on() -> None:
    seen: list[tuple[float, int]] = []

    class Seen:
        def batch_end(self, step: ll.Step) -> None:
            seen.append((step.loss.item(), step.size))

    parts = tiny(num_epochs=1)
    loss = ll.TrainLoss()
    parts.trained(loss, Seen())

    expected = sum(value * size for value, size in seen) / 22
    assert abs(loss.scalars()["loss"] - expected) < 1e-12
