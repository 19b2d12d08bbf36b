from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll

lengths = st.lists(st.integers(0, 7), min_size=1, max_size=6)


def records(lengths: list[int], *inner: int) -> list[dict[str, Any]]:
    return [
        {"idx": row, "x": torch.full((length, *inner), row + 1.0), "y": torch.arange(length)}
        for row, length in enumerate(lengths)
    ]


@given(lengths=lengths, inner=st.sampled_from([(), (2,)]))
def test_under_the_mask_stands_what_was_there_and_elsewhere_padding(
    lengths: list[int], inner: tuple[int, ...]
) -> None:
    batch = ll.PadCollate({"x": -1, "y": -100})(records(lengths, *inner))
    assert list(batch) == ["idx", "x", "y", "mask"]
    assert batch["mask"].shape == (len(lengths), max(lengths))
    assert batch["mask"].sum(dim=1).tolist() == lengths
    assert (batch["x"][~batch["mask"]] == -1).all()
    assert (batch["y"][~batch["mask"]] == -100).all()
    for row, length in enumerate(lengths):
        assert (batch["x"][row, :length] == row + 1).all()
        assert batch["y"][row, :length].tolist() == list(range(length))


@given(lengths=lengths)
def test_tokens_are_counted_by_the_mask(lengths: list[int]) -> None:
    batch = ll.PadCollate({"x": 0, "y": 0})(records(lengths))
    assert ll.TokenBatchDesc()(batch) == sum(lengths)


def test_lists_and_records_without_other_columns_will_do() -> None:
    batch = ll.PadCollate({"x": 0}, mask="is_there")([{"x": [1, 2]}, {"x": [3]}])
    assert batch["x"].tolist() == [[1, 2], [3, 0]]
    assert batch["is_there"].tolist() == [[True, True], [True, False]]


def test_arrays_that_cannot_be_written_to_are_taken() -> None:
    """As a set of Hugging Face's with the format numpy gives them; warnings are errors here."""
    words = np.arange(3)
    words.flags.writeable = False
    assert ll.PadCollate({"x": 0})([{"x": words}, {"x": words[:1]}])["x"][1].tolist() == [0, 0, 0]


def test_a_record_has_its_sequences_in_one_length() -> None:
    (record,) = records([3])
    with pytest.raises(ll.DataError, match="differ in length \\(x: 3, y: 2\\)"):
        ll.PadCollate({"x": 0, "y": 0})([{**record, "y": torch.zeros(2)}])


def test_refuses_a_record_without_the_column_and_other_columns_that_do_not_stack() -> None:
    with pytest.raises(ll.DataError, match="a record has no 'z'"):
        ll.PadCollate({"z": 0})(records([3]))
    with pytest.raises(ll.DataError, match="'y' do not stack"):
        ll.PadCollate({"x": 0})(records([3, 2]))


def test_tokens_want_a_mask() -> None:
    with pytest.raises(ll.DataError, match="the batch has no 'mask'"):
        ll.TokenBatchDesc()({"x": torch.zeros(2)})


def test_groups_have_lengths_and_masks_of_their_own() -> None:
    pad = ll.PadCollate(
        {"source": {"words": 0}, "target": {"said": 1, "next": -100}, "note": 7}, mask="there"
    )
    batch = pad(
        [
            {"idx": 0, "words": [4, 5, 6], "said": [1], "next": [2], "note": [1, 1]},
            {"idx": 1, "words": [4], "said": [1, 2], "next": [2, 3], "note": [1]},
        ]
    )
    assert {name: column.tolist() for name, column in batch.items()} == {
        "idx": [0, 1],
        "note": [[1, 1], [1, 7]],
        "there": [[True, True], [True, False]],
        "words": [[4, 5, 6], [4, 0, 0]],
        "source_there": [[True, True, True], [True, False, False]],
        "said": [[1, 1], [1, 2]],
        "next": [[2, -100], [2, 3]],
        "target_there": [[True, False], [True, True]],
    }


def test_a_group_whose_columns_differ_in_length_is_refused() -> None:
    pad = ll.PadCollate({"source": {"x": 0}, "target": {"y": 0, "z": 0}})
    with pytest.raises(ll.DataError, match=r"differ in length \(y: 1, z: 2\)"):
        pad([{"x": [1, 2, 3], "y": [1], "z": [1, 2]}])


def test_a_column_is_in_one_group() -> None:
    with pytest.raises(ll.ArgumentError, match="padding has 'x' twice; give it to one group"):
        ll.PadCollate({"source": {"x": 0}, "target": {"x": 0}})
