"""What every public sampler keeps to: the order of a pass is made of the generator alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll

MADE: dict[type, Callable[[], Any]] = {
    ll.ClassBalancedSampler: ll.ClassBalancedSampler,
    ll.BucketSampler: lambda: ll.BucketSampler(batch_size=4, pool_batches=2),
    ll.WeightedSampler: ll.WeightedSampler,
}
every_sampler = pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)
seeds = st.integers(0, 2**60)
rows = st.lists(
    st.tuples(st.integers(1, 9), st.integers(-1, 1), st.integers(0, 9)), min_size=1, max_size=40
)


def a_dataset(rows: list[tuple[int, int, int]]) -> ll.ColumnDataset:
    weight, target, length = torch.tensor(rows).T
    return ll.ColumnDataset({"weight": weight, "target": target, "length": length})


def order(kind: type, data: ll.ColumnDataset, seed: int) -> torch.Tensor:
    indices: torch.Tensor = MADE[kind]()(data, torch.Generator().manual_seed(seed))
    return indices


def test_none_is_missing_here() -> None:
    samplers = {getattr(ll, name) for name in ll.__all__ if name.endswith("Sampler")}
    assert samplers == set(MADE)


@every_sampler
@given(rows=rows, seed=seeds)
def test_gives_as_many_indices_as_there_are_samples_each_of_one(
    kind: type, rows: list[tuple[int, int, int]], seed: int
) -> None:
    indices = order(kind, a_dataset(rows), seed)
    assert indices.shape == (len(rows),)
    assert indices.dtype == torch.int64
    assert ((indices >= 0) & (indices < len(rows))).all()


@every_sampler
@given(rows=rows, seed=seeds)
def test_draws_from_the_generator_alone(
    kind: type, rows: list[tuple[int, int, int]], seed: int
) -> None:
    data, before = a_dataset(rows), torch.get_rng_state()
    assert torch.equal(order(kind, data, seed), order(kind, data, seed))
    assert torch.equal(torch.get_rng_state(), before)


@every_sampler
def test_another_seed_name_or_pass_is_another_order(kind: type) -> None:
    data = a_dataset([(row % 3 + 1, row % 2, row % 7) for row in range(50)])

    def two_passes(seed: int, name: str) -> list[list[int]]:
        loop = ll.BatchStream(
            data, name, seed, ll.LoaderConfig(batch_size=50, sampler=MADE[kind]())
        )
        return [next(loop)["idx"].tolist() for _ in range(2)]

    passes = [*two_passes(0, "train"), *two_passes(1, "train"), *two_passes(0, "more")]
    assert len(set(map(tuple, passes))) == 6
    assert two_passes(0, "train") == passes[:2]


EXPECTED: dict[type, torch.Tensor] = {
    ll.ClassBalancedSampler: torch.tensor([1 / 2, 1 / 4, 1 / 4]),
    ll.BucketSampler: torch.tensor([1 / 3, 1 / 3, 1 / 3]),
    ll.WeightedSampler: torch.tensor([1 / 10, 3 / 10, 6 / 10]),
}


@every_sampler
def test_draws_each_sample_as_often_as_is_said(kind: type) -> None:
    samples = 9000
    third = torch.arange(samples) % 3
    weight = torch.tensor([1, 3, 6])[third]
    data = ll.ColumnDataset({"weight": weight, "target": third.clamp(max=1), "length": third})

    shares = (order(kind, data, 0) % 3).bincount() / samples

    torch.testing.assert_close(shares, EXPECTED[kind], rtol=0, atol=0.02)


@every_sampler
def test_names_the_column_that_the_data_set_lacks(kind: type) -> None:
    with pytest.raises(ll.DataError, match=r"no column and no attribute '(weight|target|length)'"):
        MADE[kind]()(ll.ColumnDataset({"x": torch.zeros(3)}), torch.Generator())
