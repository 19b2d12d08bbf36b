"""The same few batches, and whether they are learnt by heart."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from tests.tiny import Noisy, tiny


def a_loop(samples: int, batch_size: int) -> ll.BatchStream:
    data = ll.ColumnDataset({"x": torch.arange(samples)})
    return ll.BatchStream(data, name="train", seed=0, config=ll.LoaderConfig(batch_size=batch_size))


def test_they_are_the_first_of_the_loop_which_stays_where_it_is() -> None:
    loop = a_loop(10, batch_size=4)
    batches = ll.RepeatedBatches(loop, num_batches=2)
    seen = [batch["x"].tolist() for batch in islice(batches, 5)]
    assert loop.position == 0
    first, second = (next(loop)["x"].tolist() for _ in range(2))
    assert seen == [first, second, first, second, first]


def test_they_are_augmented_once() -> None:
    loop = ll.BatchStream(Noisy(), name="train", seed=0, config=ll.LoaderConfig(batch_size=4))
    one, same = islice(ll.RepeatedBatches(loop, num_batches=1), 2)
    assert torch.equal(one["x"], same["x"])


def test_they_stay_as_they_are_whatever_is_written_into_them() -> None:
    class Listed(Noisy):
        def __getitem__(self, item: int) -> dict[str, Any]:
            return {**super().__getitem__(item), "words": [str(item)]}

    loop = ll.BatchStream(Listed(), name="train", seed=0, config=ll.LoaderConfig(batch_size=4))
    batches = ll.RepeatedBatches(loop, num_batches=1)
    batch = next(batches)
    x, words = batch["x"].clone(), [list(word) for word in batch["words"]]
    batch["x"].mul_(2)
    batch["words"].clear()
    same = next(batches)
    assert torch.equal(same["x"], x)
    assert [list(word) for word in same["words"]] == words


@given(
    samples=st.integers(1, 12),
    batch_size=st.integers(1, 5),
    num_batches=st.integers(1, 4),
    wanted=st.integers(1, 40),
    position=st.integers(0, 9),
)
def test_how_many_make_so_many_samples_is_told_without_reading(
    samples: int, batch_size: int, num_batches: int, wanted: int, position: int
) -> None:
    batches = ll.RepeatedBatches(a_loop(samples, batch_size), num_batches)
    told = batches.num_batches_for(wanted, position)
    batches.load_state_dict({"position": position})
    seen = counted = 0
    while seen < wanted:
        seen += len(next(batches)["x"])
        counted += 1
    assert told == counted


def test_a_resumed_stream_goes_on_where_it_was() -> None:
    batches = ll.RepeatedBatches(a_loop(10, batch_size=4), num_batches=3)
    next(batches)
    resumed = ll.RepeatedBatches(a_loop(10, batch_size=4), num_batches=3)
    resumed.load_state_dict(batches.state_dict())
    assert torch.equal(next(batches)["x"], next(resumed)["x"])


def overfitted(**given: Any) -> tuple[ll.TrainingHost, ll.Counter]:
    parts, loss = tiny(num_epochs=40), ll.TrainLoss()
    parts.epoch.train_iterator = ll.RepeatedBatches(parts.loops["train"], num_batches=1)
    parts.epoch.epoch_size = 80
    parts.opt.param_groups[0]["lr"] = 0.05
    return parts.host(loss, ll.OverfitCheck(loss, **given)), parts.counter


def test_the_run_ends_when_the_loss_is_near_zero() -> None:
    host, counter = overfitted(threshold=0.3)
    host.run()
    assert str(host.stop_reason).endswith("below 0.3")
    assert counter.epochs < 40


def test_the_run_fails_when_the_loss_does_not_get_there() -> None:
    host, counter = overfitted(threshold=1e-12)
    with pytest.raises(ll.DataError, match="not below 1e-12: the model did not overfit"):
        host.run()
    assert counter.epochs == 40


def test_a_loss_that_is_no_number_is_not_near_zero() -> None:
    class NoNumber:
        def scalars(self) -> dict[str, float]:
            return {"loss": float("nan")}

    overfitting = ll.OverfitCheck(NoNumber())
    assert overfitting.epoch_end() is None
    with pytest.raises(ll.DataError, match="loss is nan at the end"):
        overfitting.train()


def test_a_run_without_an_epoch_has_learnt_nothing() -> None:
    with pytest.raises(ll.DataError, match="loss was never measured"):
        ll.OverfitCheck(ll.TrainLoss()).train()


def test_limits_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ll.ArgumentError, match="threshold is 0"):
        ll.OverfitCheck(ll.TrainLoss(), threshold=0)
    with pytest.raises(ll.ArgumentError, match="num_batches is 0"):
        ll.RepeatedBatches(a_loop(10, batch_size=4), num_batches=0)
