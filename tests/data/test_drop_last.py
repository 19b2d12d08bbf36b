"""A stream that leaves out the short batch at the end of each pass."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from tests.app.composed import refusal
from tests.tiny import tiny


def stream(samples: int, batch_size: int, drop_last: bool = True) -> ll.BatchStream:
    data = ll.ColumnDataset({"x": torch.arange(samples)})
    config = ll.LoaderConfig(batch_size=batch_size, drop_last=drop_last)
    return ll.BatchStream(data, "train", 0, config)


sizes = st.integers(1, 9)


@given(batch_size=sizes, more=st.integers(0, 20), passes=st.integers(1, 3))
def test_it_serves_the_whole_batches_of_the_stream_that_leaves_none_out(
    batch_size: int, more: int, passes: int
) -> None:
    samples = batch_size + more
    whole, dropping = stream(samples, batch_size, drop_last=False), stream(samples, batch_size)
    per_pass = -(-samples // batch_size)
    expected = [next(whole)["x"] for _ in range(passes * per_pass)]
    expected = [batch for batch in expected if len(batch) == batch_size]
    served = [next(dropping)["x"] for _ in expected]
    assert all(map(torch.equal, served, expected))
    assert dropping.samples == samples // batch_size * batch_size


@given(before=sizes, now=sizes, more=st.integers(0, 20), position=st.integers(0, 12))
def test_with_another_batch_size_it_goes_on_with_the_next_sample_of_whole_batches(
    before: int, now: int, more: int, position: int
) -> None:
    samples = max(before, now) + more
    first, second = stream(samples, before), stream(samples, now)
    for _ in range(position):
        next(first)
    number = position // (samples // before)
    served = position % (samples // before) * before
    order = stream(samples, samples)
    for _ in range(number):
        next(order)
    of_pass, following = next(order)["x"], next(order)["x"]

    second.load_state_dict(first.state_dict())

    assert second.num_batches_for(1, second.position) == 1
    rest = (samples - served) // now
    for start in range(served, served + rest * now, now):
        assert second.batch_size_at(second.position) == now
        assert torch.equal(next(second)["x"], of_pass[start : start + now])
    for start in range(0, samples // now * now, now):
        assert torch.equal(next(second)["x"], following[start : start + now])


def test_an_epoch_is_a_pass_of_whole_batches_and_evaluations_have_all_samples() -> None:
    parts = tiny(num_epochs=3)
    config = ll.LoaderConfig(batch_size=4, drop_last=True)
    data = parts.loops["train"]._fetcher.dataset
    parts.loops["train"] = ll.BatchStream(data, "train", 0, config)
    parts.epoch = ll.SimpleEpoch(parts.loops["train"])
    loops = parts.loops_acc()
    parts.host(loops).run()
    assert (parts.counter.steps, parts.counter.samples) == (15, 60)
    assert len(loops.collect("train")["target"]) == 22
    assert parts.epoch.lengths(3) == [5, 5, 5]


def test_a_data_set_without_a_whole_batch_is_refused() -> None:
    with pytest.raises(ll.DataError, match="has 3 samples, less than a batch of 4, and drop_last"):
        stream(3, 4)


def test_another_value_is_refused() -> None:
    told = refusal("data=xor", "model=logistic", "+data.loaders.train.drop_last=maybe")
    assert told == ("data.loaders.train.drop_last (command line): is 'maybe'; give true or false")
