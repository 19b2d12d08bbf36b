from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll

SIZES = {"large": 10, "small": 3, "other": 5}


def mixed(weights: dict[str, float] | None = None, seed: int = 0) -> ll.MixedStream:
    """Batches of at most 4, whose ``x`` names the data set that they are from."""
    loops = {
        name: ll.BatchStream(
            ll.ColumnDataset({"x": torch.full((samples,), number)}),
            *(name, 0, ll.LoaderConfig(batch_size=4)),
        )
        for number, (name, samples) in enumerate(SIZES.items())
    }
    return ll.MixedStream(loops, weights or {"large": 3, "small": 1}, seed)


def plain(batches: Any) -> list[Any]:
    return [(batch["x"][0].item(), batch["idx"].tolist()) for batch in batches]


def some(loop: ll.MixedStream, count: int) -> list[Any]:
    return plain(next(loop) for _ in range(count))


def test_each_loop_comes_as_often_as_its_weight_says() -> None:
    often = Counter(number for number, _ in some(mixed(), 2000))
    assert set(often) == {0, 1}
    assert often[0] / 2000 == pytest.approx(3 / 4, abs=0.03)


def test_within_a_loop_the_order_is_its_own() -> None:
    loop = mixed()
    from_large = [idx for number, idx in some(loop, 30) if number == 0]
    alone = mixed().streams["large"]
    assert from_large == [next(alone)["idx"].tolist() for _ in from_large]


def test_which_loop_is_a_function_of_seed_and_position() -> None:
    assert some(mixed(), 20) == some(mixed(), 20)
    assert some(mixed(), 20) != some(mixed(seed=1), 20)
    as_listed = mixed({"large": 3, "small": 1})
    assert some(as_listed, 20) == some(mixed({"small": 1, "large": 3}), 20)


@pytest.mark.parametrize("position", [0, 1, 7, 19])
def test_goes_on_from_a_state(position: int) -> None:
    first, fresh = mixed(), mixed()
    some(first, position)
    fresh.load_state_dict(first.state_dict())
    assert some(fresh, 10) == some(first, 10)


def test_another_batch_size_or_another_stream_goes_on_with_the_samples() -> None:
    first = mixed()
    served = some(first, 7)
    resized = mixed()
    for stream in resized.streams.values():
        stream.config = ll.LoaderConfig(batch_size=2)
    resized.load_state_dict(first.state_dict())
    assert resized.position == sum(stream.position for stream in resized.streams.values())
    from_large = [n for number, idx in [*served, *some(resized, 9)] if number == 0 for n in idx]
    alone = mixed().streams["large"]
    assert from_large[:10] == [n for _ in range(3) for n in next(alone)["idx"].tolist()]

    more = mixed({"large": 3, "other": 1})
    more.load_state_dict(first.state_dict())
    assert more.streams["large"].position == first.streams["large"].position
    assert (more.streams["other"].position, more.position) == (0, first.position)


@given(
    samples=st.integers(0, 60),
    position=st.integers(0, 20),
    weights=st.dictionaries(st.sampled_from([*SIZES]), st.floats(0.1, 5), min_size=1),
)
def test_tells_how_many_batches_it_takes(
    samples: int, position: int, weights: dict[str, float]
) -> None:
    loop = mixed(weights)
    told = loop.num_batches_for(samples, position)
    some(loop, position)
    taken = handed_over = 0
    while handed_over < samples:
        handed_over += len(next(loop)["x"])
        taken += 1
    assert told == taken


def test_drives_an_epoch_of_the_samples_of_all() -> None:
    epoch = ll.SimpleEpoch(mixed())
    assert epoch.epoch_size == 13
    lengths = epoch.lengths(3)
    for length in lengths:
        epoch.epoch_start()
        assert len(list(epoch.batches())) == length
    epoch.close()


def test_refuses_what_cannot_be_drawn() -> None:
    with pytest.raises(ll.ArgumentError, match="weights has 'larg'; did you mean large"):
        mixed({"larg": 1})
    with pytest.raises(ll.ArgumentError, match=r"weights.small is 0; give a number above 0"):
        mixed({"small": 0})
    with pytest.raises(ll.ArgumentError, match="weights is empty"):
        ll.MixedStream({}, {})


@pytest.mark.parametrize("served", [4, 6])
def test_one_stream_goes_on_in_a_mix_of_it_with_others_and_back(served: int) -> None:
    def of(name: str) -> ll.BatchStream:
        data = ll.ColumnDataset({"idx": torch.arange(20)})
        return ll.BatchStream(data, name, 0, ll.LoaderConfig(batch_size=5))

    def mix() -> ll.MixedStream:
        return ll.MixedStream({n: of(n) for n in ("train", "more")}, {"train": 1, "more": 1})

    alone = of("train")
    for _ in range(served):
        next(alone)
    mixed = mix()
    mixed.load_state_dict(alone.state_dict())
    assert {n: each.position for n, each in mixed.streams.items()} == {"train": served, "more": 0}
    assert mixed.position == served

    for _ in range(served):
        next(mixed)
    back = of("train")
    back.load_state_dict(mixed.state_dict())
    assert back.position == mixed.streams["train"].position
    other = of("other")
    other.load_state_dict(mixed.state_dict())
    assert other.position == 0
