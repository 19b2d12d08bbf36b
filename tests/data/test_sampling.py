from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll

SAMPLERS = {
    "weighted": ll.WeightedSampler("weight"),
    "balanced": ll.ClassBalancedSampler("target"),
    "bucket": ll.BucketSampler(batch_size=4, key="length", pool_batches=3),
}
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)


def a_dataset(samples: int = 50) -> ll.ColumnDataset:
    row = torch.arange(samples)
    return ll.ColumnDataset(
        {"weight": row % 3, "target": (row % 10 == 0).long(), "length": row % 7}
    )


def a_loop(sampler: Any, name: str = "train", seed: int = 0, **config: Any) -> ll.BatchStream:
    settings = ll.LoaderConfig(batch_size=4, sampler=sampler, **config)
    return ll.BatchStream(a_dataset(), name, seed, settings)


def served(loop: ll.BatchStream, batches: int) -> list[list[int]]:
    return [next(loop)["idx"].tolist() for _ in range(batches)]


@every_sampler
def test_the_order_is_a_function_of_seed_name_and_pass(sampler: Any) -> None:
    in_turn = served(a_loop(sampler), 26)
    assert in_turn == served(a_loop(sampler), 26)
    assert in_turn[:13] != in_turn[13:]
    assert in_turn != served(a_loop(sampler, name="more"), 26)
    assert in_turn != served(a_loop(sampler, seed=1), 26)


@every_sampler
@pytest.mark.parametrize("position", [0, 5, 12, 13, 20])
def test_a_position_is_gone_to_without_what_came_before(sampler: Any, position: int) -> None:
    loop = a_loop(sampler)
    loop.load_state_dict({"position": position})
    assert served(loop, 6) == served(a_loop(sampler), position + 6)[position:]


@every_sampler
def test_a_pass_has_as_many_samples_as_ever(sampler: Any) -> None:
    assert [len(batch) for batch in served(a_loop(sampler), 14)] == [*[4] * 12, 2, 4]
    assert a_loop(sampler).num_batches_for(51) == 14


def test_the_same_for_workers() -> None:
    by_workers = a_loop(ll.ClassBalancedSampler(), num_workers=1)
    assert served(by_workers, 3) == served(a_loop(ll.ClassBalancedSampler()), 3)
    by_workers.close()


def test_weights_say_how_often() -> None:
    data = ll.ColumnDataset({"weight": torch.tensor([0.0, 1.0, 3.0] * 1000)})
    order = ll.WeightedSampler()(data, torch.Generator().manual_seed(0))
    often = Counter((order % 3).tolist())
    assert often[0] == 0
    assert often[2] / len(order) == pytest.approx(3 / 4, abs=0.03)


def test_classes_come_alike() -> None:
    data = ll.ColumnDataset({"target": torch.tensor([7] * 900 + [-1] * 90 + [3] * 10)})
    classes = data.columns["target"][
        ll.ClassBalancedSampler()(data, torch.Generator().manual_seed(0))
    ]
    for label in (7, -1, 3):
        assert (classes == label).float().mean().item() == pytest.approx(1 / 3, abs=0.05)


@given(
    lengths=st.lists(st.integers(0, 20), min_size=1, max_size=60),
    batch_size=st.integers(1, 9),
    pool=st.integers(1, 5),
)
def test_buckets_hold_every_sample_once(lengths: list[int], batch_size: int, pool: int) -> None:
    data = ll.ColumnDataset({"length": torch.tensor(lengths)})
    order = ll.BucketSampler(batch_size, pool_batches=pool)(data, torch.Generator().manual_seed(0))
    assert sorted(order.tolist()) == list(range(len(lengths)))


def test_one_pool_pads_as_little_as_sorting_does() -> None:
    length = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    data = ll.ColumnDataset({"length": length})
    order = ll.BucketSampler(batch_size=8)(data, torch.Generator().manual_seed(0))
    batches = [sorted(batch.tolist()) for batch in length[order].split(8)]
    assert sorted(batches) == [list(range(first, first + 8)) for first in range(0, 64, 8)]
    assert any(one > other for one, other in pairwise(batches))


@pytest.mark.parametrize("weights", [[1.0, -1.0], [0.0, 0.0], [1.0, float("nan")]])
def test_refuses_what_are_no_weights(weights: list[float]) -> None:
    data = ll.ColumnDataset({"weight": torch.tensor(weights)})
    with pytest.raises(ll.DataError, match="sampling weights in 'weight' must be finite"):
        ll.WeightedSampler()(data, torch.Generator())


def test_refuses_a_data_set_without_the_values() -> None:
    with pytest.raises(ll.DataError, match="no column and no attribute 'kind'"):
        ll.ClassBalancedSampler("kind")(a_dataset(), torch.Generator())
    data = ll.ColumnDataset({"target": torch.zeros(3, 2)})
    with pytest.raises(ll.DataError, match=r"shape \(3, 2\); give one value for each of the 3"):
        ll.ClassBalancedSampler()(data, torch.Generator())


def test_refuses_a_sampler_that_gives_too_few() -> None:
    loop = a_loop(lambda dataset, generator: torch.arange(3))
    with pytest.raises(ll.DataError, match="returned 3 indices for a pass over 'train'"):
        next(loop)


def test_a_sampler_may_give_a_list() -> None:
    loop = a_loop(lambda dataset, generator: list(range(len(dataset))))
    assert served(loop, 2) == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ([*range(49), -1], r"returned the index -1 .* indices are 0 to 49"),
        ([*range(49), 50], r"returned the index 50 .* indices are 0 to 49"),
        ([True, False] * 25, r"returned torch.bool of shape \(50,\) for a pass over 'train'"),
        ([0.0] * 50, "returned torch.float"),
        ([[0, 1]] * 50, r"of shape \(50, 2\)"),
    ],
)
def test_refuses_a_sampler_that_gives_no_indices(order: list[Any], told: str) -> None:
    with pytest.raises(ll.DataError, match=told):
        next(a_loop(lambda dataset, generator: order))


def test_each_combination_of_several_keys_comes_equally_often() -> None:
    site = torch.tensor([0] * 90 + [1] * 10)
    target = torch.tensor([0] * 80 + [1] * 10 + [0] * 9 + [1])
    data = ll.ColumnDataset({"site": site, "target": target})
    sampler = ll.ClassBalancedSampler(["site", "target"])
    order = torch.cat([sampler(data, torch.Generator().manual_seed(seed)) for seed in range(80)])
    times = (2 * site + target)[order].bincount() / len(order)
    assert times == pytest.approx([0.25] * 4, abs=0.02)


def test_one_key_in_a_list_is_that_key_and_none_is_refused() -> None:
    data = ll.ColumnDataset({"target": torch.tensor([0, 1, 1, 1, 2])})
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    one, other = ll.ClassBalancedSampler(["target"]), ll.ClassBalancedSampler("target")
    assert torch.equal(one(data, generators[0]), other(data, generators[1]))
    with pytest.raises(ll.ArgumentError, match="key is empty; give a column, or a list"):
        ll.ClassBalancedSampler([])


def test_classes_may_be_names() -> None:
    site = ["north"] * 90 + ["south"] * 10
    data = ll.ColumnDataset({"site": site, "target": torch.arange(100) % 2})
    order = ll.ClassBalancedSampler(["target", "site"])(data, torch.Generator().manual_seed(0))
    assert [site[item] for item in order].count("south") == pytest.approx(50, abs=15)


def test_refuses_names_for_weights_and_several_values_for_a_sample() -> None:
    data = ll.ColumnDataset({"weight": ["a", "b"]}, ragged=[[1], [2, 3]])
    with pytest.raises(ll.DataError, match="'weight' of a ColumnDataset holds no numbers"):
        ll.WeightedSampler()(data, torch.Generator())
    with pytest.raises(ll.DataError, match="'ragged' of a ColumnDataset holds several values for"):
        ll.ClassBalancedSampler("ragged")(data, torch.Generator())
