"""What every data set that ships keeps to: records of their own, however they are asked for."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.data import Subset

import legoloop as ll
from tests.models_of_others import Pictures

NAMES = ["image", "target"]
MADE: dict[str, Callable[[], Any]] = {
    "ColumnDataset": lambda: ll.ColumnDataset(
        {"image": Pictures().data, "target": Pictures().targets}
    ),
    "NamedDataset": lambda: ll.NamedDataset(Pictures(), NAMES),
    "NamedDataset of one that serves many": lambda: ll.NamedDataset(
        Subset(Pictures(), range(24)),  # type: ignore[arg-type]
        NAMES,
    ),
}
every_dataset = pytest.mark.parametrize("kind", MADE)


def test_none_is_missing_here() -> None:
    public = {name for name in ll.__all__ if name.endswith("Dataset")}
    assert public - {"SizedDataset"} <= set(MADE)


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(torch.as_tensor(one[key]), torch.as_tensor(other[key])) for key in one
    )


@every_dataset
def test_a_record_is_the_same_whenever_it_is_asked_for(kind: str) -> None:
    data = MADE[kind]()
    for item in (0, len(data) - 1):
        first = dict(data[item])
        assert same(first, data[item])
        assert same(first, MADE[kind]()[item])
        assert same(first, pickle.loads(pickle.dumps(data))[item])


@every_dataset
def test_each_record_has_an_idx_of_its_own(kind: str) -> None:
    data = MADE[kind]()
    assert [int(data[item]["idx"]) for item in range(len(data))] == list(range(len(data)))


@every_dataset
def test_what_is_done_to_a_record_changes_no_other(kind: str) -> None:
    data = MADE[kind]()
    data[3]["target"] = "spoilt"
    assert same(data[3], MADE[kind]()[3])


@every_dataset
def test_a_batch_has_the_records_in_their_order(kind: str) -> None:
    data = MADE[kind]()
    batch = next(iter(ll.Loader(data, "val", 0, ll.LoaderConfig(batch_size=5))))
    for item in range(5):
        assert same({key: batch[key][item] for key in batch}, data[item])
