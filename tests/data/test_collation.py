from __future__ import annotations

import numpy as np
import pytest
import torch

from legoloop.core.errors import DataError
from legoloop.core.nested import Columns
from legoloop.data.collation import collate


def test_what_becomes_of_each_kind_of_value():
    batch = collate(
        [
            {"idx": name, "image": torch.ones(2), "row": np.zeros(3), "y": number, "z": 0.5}
            for number, name in enumerate("abc")
        ]
    )
    assert batch["idx"] == ["a", "b", "c"]
    assert batch["image"].shape == (3, 2)
    assert batch["row"].shape == (3, 3)
    assert batch["y"].tolist() == [0, 1, 2]
    assert batch["y"].dtype == torch.int64
    assert batch["z"].dtype == torch.float64


def test_the_first_record_tells_the_order_of_the_columns():
    assert list(collate([{"b": 1, "a": 2}, {"a": 3, "b": 4}])) == ["b", "a"]


@pytest.mark.parametrize("records", [[{"x": 1}, {"x": 1, "y": 2}], [{"x": 1, "y": 2}, {"x": 1}]])
def test_records_of_different_keys_are_refused(records):
    with pytest.raises(DataError) as refused:
        collate(records)
    assert str(refused.value) == ("records of a batch have different keys: y not in all of them")


def test_values_of_different_shapes_are_refused_with_the_shapes():
    with pytest.raises(DataError) as refused:
        collate([{"image": torch.ones(3, 2)}, {"image": torch.ones(2)}])
    assert str(refused.value) == (
        "the values of 'image' do not stack into a batch: shapes [(2,), (3, 2)]"
    )


@pytest.mark.parametrize(
    "values",
    [
        [None, None],
        [1, "a"],
        [[1, 2], [1]],
        [{"p": 1}, {"q": 1}],
        [np.array(["a"]), np.array(["a"])],
        [object(), object()],
    ],
)
def test_values_that_do_not_stack_are_refused_in_one_line(values):
    with pytest.raises(DataError, match=r"^the values of 'x' do not stack into a batch: .") as no:
        collate([{"x": value} for value in values])
    assert "\n" not in str(no.value)


def test_nested_values_stay_nested_and_lists_of_columns_are_told_from_lists_of_samples() -> None:
    batch = collate(
        [{"views": (torch.ones(2), [torch.zeros(3)]), "of": {"both": ("a", n)}} for n in range(4)]
    )
    assert type(batch["views"]) is type(batch["views"][1]) is Columns
    assert batch["views"][1][0].shape == (4, 3)
    assert type(batch["of"]["both"]) is Columns
    assert list(batch["of"]["both"][0]) == ["a"] * 4
    assert batch["of"]["both"][1].tolist() == [0, 1, 2, 3]
