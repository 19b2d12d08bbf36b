"""What every public function from records to a batch keeps to, and the one used unless told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from legoloop.data.collation import collate

MADE: dict[str, Callable[[], Any]] = {
    "collate": lambda: collate,
    "PadCollate": lambda: ll.PadCollate({"tokens": -1}),
}
every_collation = pytest.mark.parametrize("kind", MADE)
lengths = st.lists(st.integers(1, 5), min_size=1, max_size=6)


def records(kind: str, lengths: list[int]) -> list[dict[str, Any]]:
    """Of different lengths, where the kind takes such."""
    ragged = kind == "PadCollate"
    return [
        {
            "idx": str(number),
            "image": torch.full((2, 2), float(number)),
            "tokens": torch.arange(length if ragged else 3) + number,
        }
        for number, length in enumerate(lengths)
    ]


def test_none_is_missing_here() -> None:
    public = {name for name in ll.__all__ if name.endswith("Collate")}
    assert public | {"collate"} == set(MADE)


@every_collation
@given(lengths=lengths)
def test_a_column_has_what_each_record_has_in_their_order(kind: str, lengths: list[int]) -> None:
    given_records = records(kind, lengths)
    batch = MADE[kind]()(given_records)
    assert set(batch) - {"mask"} == {"idx", "image", "tokens"}
    assert {len(column) for column in batch.values()} == {len(lengths)}
    told = [len(record["tokens"]) for record in given_records]
    assert batch.get("mask", batch["tokens"] >= 0).sum(dim=1).tolist() == told
    for number, record in enumerate(given_records):
        assert batch["idx"][number] == record["idx"]
        assert torch.equal(batch["image"][number], record["image"])
        length = len(record["tokens"])
        assert torch.equal(batch["tokens"][number, :length], record["tokens"])
        assert (batch["tokens"][number, length:] == -1).all()


@every_collation
@given(lengths=lengths)
def test_keeps_nothing_of_one_batch_for_the_next(kind: str, lengths: list[int]) -> None:
    used, fresh = MADE[kind](), MADE[kind]()
    used(records(kind, [5, 1]))
    first, again = used(records(kind, lengths)), fresh(records(kind, lengths))
    assert torch.equal(first["tokens"], again["tokens"])


@every_collation
def test_leaves_the_records_as_they_are(kind: str) -> None:
    given_records = records(kind, [2, 3])
    MADE[kind]()(given_records)
    assert str(given_records) == str(records(kind, [2, 3]))


@every_collation
def test_names_the_column_that_does_not_stack(kind: str) -> None:
    first, second = records(kind, [3, 3])
    with pytest.raises(ll.DataError, match="the values of 'image' do not stack into a batch"):
        MADE[kind]()([first, {**second, "image": torch.zeros(1)}])


@every_collation
def test_names_the_column_that_a_record_lacks(kind: str) -> None:
    first, second = records(kind, [3, 3])
    for key in ("image", "tokens"):
        short = {name: value for name, value in second.items() if name != key}
        with pytest.raises(ll.DataError, match=key):
            MADE[kind]()([first, short])
