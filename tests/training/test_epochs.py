from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from tests.tiny import tiny


def a_loop(samples: int, batch_size: int) -> ll.BatchStream:
    dataset = ll.ColumnDataset({"x": torch.arange(samples)})
    return ll.BatchStream(dataset, "train", 0, ll.LoaderConfig(batch_size=batch_size))


def sizes(epoch: ll.SimpleEpoch) -> list[int]:
    epoch.epoch_start()
    return [size for _, size in epoch.batches()]


def test_without_a_size_an_epoch_is_one_pass_the_last_batch_short() -> None:
    epoch = ll.SimpleEpoch(a_loop(samples=10, batch_size=4))

    assert [sizes(epoch) for _ in range(2)] == [[4, 4, 2], [4, 4, 2]]


def test_ends_with_the_batch_that_reaches_the_size_and_owes_nothing_to_the_next() -> None:
    epoch = ll.SimpleEpoch(a_loop(samples=10, batch_size=4), epoch_size=6)

    assert [sizes(epoch) for _ in range(3)] == [[4, 4], [2, 4], [4, 2]]


@given(
    samples=st.integers(1, 30),
    batch_size=st.integers(1, 12),
    epoch_size=st.integers(1, 50),
    epochs=st.integers(1, 4),
)
def test_an_epoch_has_as_few_batches_as_reach_its_size(
    samples: int, batch_size: int, epoch_size: int, epochs: int
) -> None:
    epoch = ll.SimpleEpoch(a_loop(samples, batch_size), epoch_size)
    for _ in range(epochs):
        seen = sizes(epoch)
        assert sum(seen[:-1]) < epoch_size <= sum(seen)


@given(
    samples=st.integers(1, 20),
    batch_size=st.integers(1, 7),
    epoch_size=st.integers(1, 30),
    cut=st.integers(0, 40),
)
def test_goes_on_in_mid_epoch_from_its_state(
    samples: int, batch_size: int, epoch_size: int, cut: int
) -> None:
    whole = ll.SimpleEpoch(a_loop(samples, batch_size), epoch_size)
    expected = [batch["x"].tolist() for batch, _ in whole.batches()]

    broken = ll.SimpleEpoch(a_loop(samples, batch_size), epoch_size)
    cut = min(cut, len(expected))
    batches = broken.batches()
    seen = [next(batches)[0]["x"].tolist() for _ in range(cut)]
    resumed = ll.SimpleEpoch(a_loop(samples, batch_size), epoch_size)
    resumed.load_state_dict(broken.state_dict())
    seen += [batch["x"].tolist() for batch, _ in resumed.batches()]

    assert seen == expected


def test_an_epoch_broken_off_by_a_stop_leaves_the_next_one_whole() -> None:
    class StopAtOnce:
        def batch_end(self, step: ll.Step) -> ll.ShouldStop:
            return ll.ShouldStop("enough")

    parts = tiny(num_epochs=5)
    parts.trained(StopAtOnce())

    assert parts.counter.steps == 1
    assert sum(sizes(parts.epoch)) >= 22


def test_takes_the_number_of_samples_from_the_batch_description() -> None:
    def pairs() -> Iterator[dict[str, Any]]:
        while True:
            yield {"x": torch.ones(1), "pairs": [1, 2]}

    epoch = ll.SimpleEpoch(pairs(), epoch_size=4, batch_desc=lambda batch: len(batch["pairs"]))

    assert sizes(epoch) == [2, 2]


def test_lets_go_of_a_batch_before_it_fetches_the_next() -> None:
    class Watching:
        last: weakref.ref[torch.Tensor] | None = None
        kept = 0

        def __iter__(self) -> Watching:
            return self

        def __next__(self) -> dict[str, torch.Tensor]:
            self.kept += self.last is not None and self.last() is not None
            x = torch.ones(2)
            self.last = weakref.ref(x)
            return {"x": x}

    stream = Watching()
    step = ll.Step()
    for step.batch, step.size in ll.SimpleEpoch(stream, epoch_size=10).batches():
        step.clear()

    assert stream.kept == 0


@pytest.mark.parametrize("size", [0, -1])
def test_refuses_a_size_below_one(size: int) -> None:
    with pytest.raises(
        ll.ArgumentError, match=f"epoch_size is {size}; give a whole number of at least 1"
    ):
        ll.SimpleEpoch(a_loop(3, 1), size)


def test_refuses_one_pass_of_a_stream_that_does_not_know_its_samples() -> None:
    with pytest.raises(ll.ArgumentError, match="does not know its samples"):
        ll.SimpleEpoch(iter([]))


@pytest.mark.parametrize(
    "stream",
    [torch.utils.data.DataLoader([{"x": 1}]), [{"x": [1]}], ll.ColumnDataset({"x": torch.ones(1)})],
    ids=lambda stream: type(stream).__name__,
)
def test_refuses_what_is_no_iterator(stream: Any) -> None:
    kind = type(stream).__name__
    with pytest.raises(ll.ArgumentError, match=f"train_iterator is a {kind}, which is no iterator"):
        ll.SimpleEpoch(stream, epoch_size=1)


def test_says_so_when_the_stream_ends() -> None:
    epoch = ll.SimpleEpoch(iter([{"x": [1, 2]}]), epoch_size=3)

    with pytest.raises(ll.DataError, match="a list_iterator, has ended; give an endless one"):
        sizes(epoch)


def test_no_epochs_train_nothing_but_measure_at_the_end() -> None:
    parts = tiny(num_epochs=0)
    acc = parts.loaders_acc()
    metrics = ll.AccumulatorMetrics(acc, lambda arrays: {"samples": len(arrays["idx"])})

    parts.host(acc, metrics).run()

    assert parts.counter.steps == parts.counter.epochs == 0
    assert metrics.scalars() == {"train/samples": 22, "val/samples": 9}


@pytest.mark.parametrize("num_epochs", [1, 3])
def test_stops_after_so_many_epochs(num_epochs: int) -> None:
    parts = tiny(num_epochs=num_epochs)
    host = parts.host()

    host.run()

    assert parts.counter.epochs == num_epochs
    assert host.stop_reason == f"{num_epochs} epochs are done"


def test_refuses_a_negative_number_of_epochs() -> None:
    with pytest.raises(
        ll.ArgumentError, match="num_epochs is -1; give a whole number of at least 0"
    ):
        ll.LastEpoch(ll.Counter(), -1)
