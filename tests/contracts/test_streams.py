"""What every public stream of batches keeps to: a position is all there is to know."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import legoloop as ll
from legoloop.core import rng
from tests.streams_of_others import CountedReads, StatefulLoader
from tests.tiny import Noisy

SAMPLES, BATCH_SIZE = 10, 4


class Labelled(Noisy):
    labels = (0, 1) * (SAMPLES // 2)


def a_loop(name: str = "train", **batching: Any) -> ll.BatchStream:
    return ll.BatchStream(
        Labelled(SAMPLES), name, 0, ll.LoaderConfig(batch_size=BATCH_SIZE, **batching)
    )


def a_mixed_loop() -> ll.MixedStream:
    loops = {name: a_loop(name) for name in ("train", "more", "rest")}
    return ll.MixedStream(loops, weights={"train": 3, "more": 1, "rest": 0.5})


def a_phase() -> ll.Phases:
    return ll.Phases(
        ll.Counter(), torch.nn.Linear(1, 1), {"train": a_loop()}, {"all": {"from_epoch": 0}}
    )


MADE: dict[str, tuple[type, Callable[[], Any]]] = {
    "BatchStream": (ll.BatchStream, a_loop),
    "Loop that does not shuffle": (ll.BatchStream, lambda: a_loop(shuffle=False)),
    "Loop of whole batches": (ll.BatchStream, lambda: a_loop(drop_last=True)),
    "Loop with a sampler": (
        ll.BatchStream,
        lambda: a_loop(sampler=ll.ClassBalancedSampler("labels")),
    ),
    "LoaderStream": (
        ll.LoaderStream,
        lambda: ll.LoaderStream(DataLoader(CountedReads(SAMPLES), BATCH_SIZE, shuffle=True)),
    ),
    "LoaderStream of a loader with a state": (
        ll.LoaderStream,
        lambda: ll.LoaderStream(StatefulLoader(CountedReads(SAMPLES), BATCH_SIZE)),
    ),
    "MixedStream": (ll.MixedStream, a_mixed_loop),
    "Phases": (ll.Phases, a_phase),
    "RepeatedBatches": (ll.RepeatedBatches, lambda: ll.RepeatedBatches(a_loop(), num_batches=3)),
}
every_stream = pytest.mark.parametrize("kind", MADE)
positions = st.integers(0, 12)


def made(kind: str) -> Any:
    return MADE[kind][1]()


def taken(stream: Any, batches: int) -> list[tuple[Any, ...]]:
    return [
        tuple(tuple(column.flatten().tolist()) for column in next(stream).values())
        for _ in range(batches)
    ]


def test_none_is_missing_here() -> None:
    public = [getattr(ll, name) for name in ll.__all__]
    streams = {kind for kind in public if isinstance(kind, type) and hasattr(kind, "__next__")}
    assert streams == {kind for kind, _ in MADE.values()}


@every_stream
@given(before=positions, after=st.integers(1, 5))
def test_goes_on_from_its_state_with_the_same_batches(kind: str, before: int, after: int) -> None:
    whole = made(kind)
    taken(whole, before)
    resumed = made(kind)
    resumed.load_state_dict(whole.state_dict())
    assert taken(resumed, after) == taken(whole, after)
    assert resumed.state_dict() == whole.state_dict()


@every_stream
@given(position=positions, samples=st.integers(1, 40))
def test_tells_how_many_batches_make_so_many_samples_and_reads_none(
    kind: str, position: int, samples: int
) -> None:
    stream = made(kind)
    taken(stream, position)
    state = stream.state_dict()
    told = stream.num_batches_for(samples, position)
    assert stream.state_dict() == state

    sizes = (len(next(stream)["idx"]) for _ in range(told))
    *before, reached = accumulate(sizes)
    assert reached >= samples
    assert not before or before[-1] < samples


@every_stream
def test_leaves_the_generators_as_they_were(kind: str) -> None:
    before = rng.get_rng_state()
    taken(made(kind), 4)
    after = rng.get_rng_state()
    assert str(before) == str(after)


@every_stream
def test_a_batch_may_be_changed_by_whoever_is_given_it(kind: str) -> None:
    changed, left_alone = made(kind), made(kind)
    for _ in range(7):
        next(changed).clear()
    taken(left_alone, 7)
    assert taken(changed, 1) == taken(left_alone, 1)
