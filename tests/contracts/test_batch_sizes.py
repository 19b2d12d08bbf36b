"""What every public count of what a batch holds keeps to: the parts make the whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from legoloop.training.step.micro_batches import split_batch

MADE: dict[type, Callable[[dict[str, Any]], int]] = {
    ll.DefaultBatchDesc: lambda batch: len(batch["x"]),
    ll.TokenBatchDesc: lambda batch: batch["mask"].count_nonzero().item(),
}
"""Each, and what it is to count."""
every_size = pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)
lengths = st.lists(st.integers(0, 5), min_size=1, max_size=20)


def a_batch(lengths: list[int]) -> dict[str, Any]:
    return {
        "idx": [str(number) for number in range(len(lengths))],
        "x": torch.zeros(len(lengths), 5),
        "mask": torch.arange(5) < torch.tensor(lengths)[:, None],
    }


def test_none_is_missing_here() -> None:
    sizes = {getattr(ll, name) for name in ll.__all__ if name.endswith("BatchDesc")}
    assert sizes == set(MADE)


@every_size
@given(lengths=lengths)
def test_is_a_whole_number_and_that_of_the_batch(kind: type, lengths: list[int]) -> None:
    batch = a_batch(lengths)
    size = kind()(batch)
    assert type(size) is int
    assert size == MADE[kind](batch)


@every_size
@given(lengths=lengths, of_part=st.integers(1, 8))
def test_the_sum_over_the_parts_is_that_of_the_whole(
    kind: type, lengths: list[int], of_part: int
) -> None:
    batch, size = a_batch(lengths), kind()
    assert sum(map(size, split_batch(batch, of_part))) == size(batch)


@every_size
def test_an_epoch_and_a_counter_go_by_it(kind: type) -> None:
    held = {"x": torch.zeros(10, 5), "mask": torch.arange(50).view(10, 5) % 3 == 0}
    loop = ll.BatchStream(ll.ColumnDataset(held), "train", 0, ll.LoaderConfig(batch_size=4))
    counter = ll.Counter()
    epoch = ll.SimpleEpoch(loop, epoch_size=2 * MADE[kind](held), batch_desc=kind())
    ll.TrainingHost([counter, epoch, ll.LastEpoch(counter, 1)]).run()
    assert (counter.steps, counter.samples) == (6, 2 * MADE[kind](held)), "two passes"
