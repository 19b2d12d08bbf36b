from __future__ import annotations

import pickle
from copy import copy, deepcopy

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

import legoloop as ll
from legoloop.core.batch_size import DefaultBatchDesc, SizedBatch


@pytest.mark.parametrize("column", [torch.zeros(3, 2), ["a", "b", "c"]])
def test_the_length_of_the_first_column(column):
    assert DefaultBatchDesc()({"x": column, "other": [1]}) == 3


@pytest.mark.parametrize(
    "first",
    [
        {"ids": torch.zeros(3), "mask": torch.zeros(3)},
        [torch.zeros(3), torch.zeros(3)],
        pack_sequence([torch.ones(2)] * 3),
        torch.tensor(2.0),
        "a text",
        0.5,
    ],
    ids=lambda first: type(first).__name__,
)
def test_a_first_column_without_an_entry_a_sample_is_passed_over(first: object) -> None:
    assert DefaultBatchDesc()({"first": first, "x": torch.zeros(3, 2)}) == 3


@pytest.mark.parametrize(
    "batch",
    [{"in": {"x": torch.zeros(3)}}, {"seq": pack_sequence([torch.ones(2)] * 3)}],
    ids=["dict", "packed"],
)
def test_where_all_is_nested_it_looks_inside(batch: dict[str, object]) -> None:
    assert DefaultBatchDesc()(batch) == 3


def test_a_batch_that_knows_its_samples_is_believed_and_stays_so() -> None:
    batch = SizedBatch({"edges": torch.zeros(2, 9)}, 5)
    for same in (batch, copy(batch), deepcopy(batch), pickle.loads(pickle.dumps(batch))):
        assert DefaultBatchDesc()(same) == 5


def test_a_batch_without_columns_that_have_a_length_is_told() -> None:
    with pytest.raises(ll.DataError, match="no column of the batch has an entry per sample; its c"):
        DefaultBatchDesc()({"scale": 2.0})
