from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    TensorDataset,
    default_collate,
)

import legoloop as ll
from legoloop.core import rng
from tests.streams_of_others import CountedReads, Lines, StatefulLoader
from tests.tiny import Net, mean_loss, weights

LOADERS: dict[str, Callable[[], Any]] = {
    "in order": lambda: DataLoader(CountedReads(), batch_size=4),
    "shuffled": lambda: DataLoader(CountedReads(), batch_size=4, shuffle=True),
    "with a generator of its own": lambda: DataLoader(
        CountedReads(), batch_size=4, shuffle=True, generator=torch.Generator()
    ),
    "with a sampler that has one": lambda: DataLoader(
        data := CountedReads(),
        batch_size=4,
        sampler=RandomSampler(data, replacement=True, generator=torch.Generator()),
    ),
    "of an IterableDataset": lambda: DataLoader(Lines(), batch_size=4),
    "with the protocol of torchdata": lambda: StatefulLoader(CountedReads(), batch_size=4),
}
every_loader = pytest.mark.parametrize("kind", LOADERS)
with_workers = pytest.mark.parametrize("num_workers", [0, pytest.param(2, marks=pytest.mark.slow)])


def stream_of(kind: str, **given: Any) -> ll.LoaderStream:
    return ll.LoaderStream(LOADERS[kind](), **given)


def taken(stream: Any, batches: int) -> list[Any]:
    return [[column.tolist() for column in next(stream).values()] for _ in range(batches)]


@every_loader
@pytest.mark.parametrize("served", range(8))
def test_a_resumed_stream_goes_on_with_the_next_batch(kind: str, served: int) -> None:
    whole, before, resumed = (stream_of(kind, seed=3) for _ in range(3))
    expected = taken(whole, served + 5)
    taken(before, served)
    torch.rand(3)  # what the training draws says nothing of the batches
    resumed.load_state_dict(before.state_dict())
    assert resumed.position == served
    assert taken(resumed, 5) == expected[served:]


@every_loader
def test_each_pass_has_every_sample_in_another_order_or_with_other_numbers(kind: str) -> None:
    stream = stream_of(kind)
    one, other = (taken(stream, 3) for _ in range(2))
    assert one != other
    if "sampler" not in kind:
        for batches in (one, other):
            assert sorted(idx for batch in batches for idx in batch[0]) == list(range(10))


@every_loader
def test_what_it_draws_is_a_function_of_its_seed(kind: str) -> None:
    before = rng.get_rng_state()
    first = taken(stream_of(kind, seed=1), 4)
    assert taken(stream_of(kind, seed=1), 4) == first
    assert taken(stream_of(kind, seed=2), 4) != first
    assert str(rng.get_rng_state()) == str(before)


@with_workers
def test_workers_are_started_anew_where_it_was_closed(num_workers: int) -> None:
    def made() -> ll.LoaderStream:
        return ll.LoaderStream(DataLoader(Lines(), batch_size=3, num_workers=num_workers))

    closed, whole = made(), made()
    batches = taken(closed, 2)
    closed.close()
    assert [*batches, *taken(closed, 4)] == taken(whole, 6)
    closed.close()
    whole.close()


def test_a_loader_with_a_position_reads_nothing_twice(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="legoloop")
    for kind, read in (("shuffled", 10), ("with the protocol of torchdata", 2)):
        before, resumed = stream_of(kind), stream_of(kind)
        taken(before, 5)
        resumed.load_state_dict(before.state_dict())
        taken(resumed, 1)
        assert resumed.loader.dataset.reads == read
    assert [record.getMessage() for record in caplog.records] == [
        "the DataLoader has no position: 2 batches of pass 1 are read again"
    ]


def test_it_tells_the_samples_of_a_pass_as_far_as_it_knows() -> None:
    data = CountedReads()
    assert ll.LoaderStream(DataLoader(data, batch_size=4)).samples == 10
    dropping = ll.LoaderStream(DataLoader(data, batch_size=4, drop_last=True))
    assert (dropping.samples, dropping.num_batches_for(16), dropping.num_batches_for(9, 1)) == (
        8,
        4,
        3,
    )
    unknown = ll.LoaderStream(DataLoader(Lines(), batch_size=4))
    assert unknown.samples is None
    assert ll.LoaderStream(DataLoader(Lines(), batch_size=4), samples=10).samples == 10
    with pytest.raises(ll.ArgumentError, match="does not tell how many batches a pass has"):
        unknown.num_batches_for(3)
    with pytest.raises(ll.ArgumentError, match="epoch_size is None, but the stream does not know"):
        ll.SimpleEpoch(unknown)


def test_tuples_get_names() -> None:
    loader = DataLoader(TensorDataset(torch.arange(4.0), torch.arange(4)), batch_size=2)
    assert list(next(ll.LoaderStream(loader, names=["x", "target"]))) == ["x", "target"]
    with pytest.raises(ll.DataError, match=r"a batch of the DataLoader is a list of 2; give"):
        next(ll.LoaderStream(loader))


class Passes:
    """Any object that can be iterated again and again will do."""

    def __init__(self, *passes: int) -> None:
        self.passes = list(passes)

    def __iter__(self) -> Any:
        yield from ({"x": [number]} for number in range(self.passes.pop(0)))


def test_a_pass_without_batches_and_one_that_became_shorter_are_errors() -> None:
    with pytest.raises(ll.DataError, match="the Passes gave no batch in pass 0"):
        next(ll.LoaderStream(Passes(0)))
    stream = ll.LoaderStream(Passes(1, 0))
    next(stream)
    with pytest.raises(ll.DataError, match="the Passes gave no batch in pass 1"):
        next(stream)
    longer, shorter = ll.LoaderStream(Passes(3)), ll.LoaderStream(Passes(1))
    taken_from = [next(longer) for _ in range(2)]
    shorter.load_state_dict(longer.state_dict())
    assert len(taken_from) == 2
    with pytest.raises(ll.DataError, match="gave 1 batches in a pass of which it had given 2"):
        next(shorter)


def test_within_a_pass_its_order_cannot_change() -> None:
    stream, other = stream_of("in order"), ll.LoaderStream(DataLoader(CountedReads(), batch_size=5))
    other.load_state_dict(stream.state_dict())
    taken(stream, 1)
    with pytest.raises(ll.DataError, match="cannot change: batch size was 4, is 5; change that"):
        other.load_state_dict(stream.state_dict())


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        (iter([]), "is a list_iterator, which cannot be iterated again and again"),
        (3, "is a int, which cannot be iterated"),
        (Lines(), "is a Lines, which gives samples; put it into a torch.utils.data.DataLoader"),
    ],
)
def test_what_is_no_loader_is_refused(loader: Any, message: str) -> None:
    with pytest.raises(ll.ArgumentError, match=message):
        ll.LoaderStream(loader)


def test_the_training_is_that_of_a_plain_loop() -> None:
    """To the bit: the loader in order, and a model without random numbers."""

    def made() -> tuple[Any, Any]:
        torch.manual_seed(0)
        model = Net()
        model.layers[3] = torch.nn.Identity()
        return model, torch.optim.SGD(model.parameters(), lr=0.1)

    data = [record(item) for item in range(10)]
    by_hand, opt = made()
    for _ in range(2):
        for batch in DataLoader(data, batch_size=4):  # type: ignore[arg-type]
            opt.zero_grad()
            mean_loss(batch, by_hand(batch)).backward()
            opt.step()
    model, opt = made()
    counter = ll.Counter()
    stream = ll.LoaderStream(DataLoader(data, batch_size=4))  # type: ignore[arg-type]
    descent = ll.GradientDescent(opt, model, ll.Feed(model, "cpu"), mean_loss)
    epoch = ll.SimpleEpoch(stream)
    ll.TrainingHost([counter, epoch, descent, ll.LastEpoch(counter, 2)], seed=0).run()
    assert weights(model) == weights(by_hand)


def record(item: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(item)
    return {"x": torch.randn(4, generator=generator), "target": item % 3}


class Positioned(IterableDataset[Any]):
    """Knows where it is, as a streamed set of Hugging Face's: it has no state before it is read."""

    at: int | None = None

    def __iter__(self) -> Iterator[Any]:
        for number in range(self.at or 0, 10):
            self.at = number + 1
            yield {"x": torch.full((4,), float(number)), "target": torch.tensor(number % 3)}
        self.at = 0

    def state_dict(self) -> dict[str, Any]:
        if self.at is None:
            raise RuntimeError("State dict is not initialized")
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.at = state["at"]


class Apart:
    """Another iterable over such a set."""

    def __init__(self, dataset: Positioned) -> None:
        self.dataset = dataset

    def __iter__(self) -> Iterator[Any]:
        records = iter(self.dataset)
        yield from map(default_collate, zip(records, records, strict=True))


@pytest.mark.parametrize("kind", [lambda data: DataLoader(data, batch_size=2), Apart])
def test_what_a_loader_reads_is_not_given_a_state_beside_that_of_the_stream(
    kind: Callable[[Any], Any],
) -> None:
    def made() -> tuple[ll.TrainingHost, list[float]]:
        model, counter, seen = Net(), ll.Counter(), []

        class Sees:
            def batch_end(self, step: ll.Step) -> None:
                seen.extend(step.batch["x"][:, 0].tolist())

        stream = ll.LoaderStream(kind(Positioned()))
        opt, feed = torch.optim.SGD(model.parameters()), ll.Feed(model, "cpu")
        descent = ll.GradientDescent(opt, model, feed, mean_loss)
        plugins = [counter, ll.SimpleEpoch(stream, 4), descent, ll.LastEpoch(counter, 4), Sees()]
        return ll.TrainingHost(plugins), seen

    whole, expected = made()
    whole.run()
    killed, seen = made()
    states: list[Any] = []

    class Saves:
        def epoch_end(self) -> ll.ShouldSave:
            return ll.ShouldSave(states.append)

    killed.state_dict()  # before anything is read
    ll.TrainingHost([*killed.plan.plugins.values(), Saves()]).run()
    resumed, rest = made()
    resumed.load_state_dict(states[0])
    resumed.run()
    assert [*seen[:4], *rest] == expected
