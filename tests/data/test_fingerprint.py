from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from legoloop.core.rng import get_rng_state
from legoloop.data import fingerprint as module
from legoloop.data.datasets import ColumnDataset
from legoloop.data.fingerprint import fingerprint
from tests.tiny import Noisy, columns


class Records:
    """Data without columns, which counts how often it is asked."""

    def __init__(self, records: Any) -> None:
        self.records = records
        self.asked = 0

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, item: int) -> Any:
        self.asked += 1
        return self.records[item]


@given(st.binary(min_size=1, max_size=40), st.data())
def test_every_byte_of_a_column_counts(content: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    same, again, other = (
        fingerprint(ColumnDataset({"x": torch.tensor(list(values), dtype=torch.uint8)}))
        for values in (content, content, changed)
    )
    assert same is not None
    assert same == again != other


@pytest.mark.parametrize(
    "other",
    [
        {"y": torch.zeros(4)},
        {"x": torch.zeros(4, dtype=torch.int32)},
        {"x": torch.zeros(4, 1)},
        {"x": torch.zeros(5)},
        {"x": torch.zeros(4), "y": torch.zeros(4)},
    ],
    ids=["name", "type", "shape", "length", "number"],
)
def test_what_a_column_is_counts_too(other: dict[str, torch.Tensor]) -> None:
    zeros = ColumnDataset({"x": torch.zeros(4)})
    assert fingerprint(zeros) != fingerprint(ColumnDataset(other))


def test_the_order_of_columns_and_what_is_made_of_them_do_not_count() -> None:
    names = columns()
    turned = ColumnDataset(dict(reversed(names.items())), transform=lambda batch: {})
    assert fingerprint(ColumnDataset(names)) == fingerprint(turned)


def test_of_large_columns_some_rows_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    first, last, between = (torch.zeros(5000) for _ in range(3))
    first[0] = last[-1] = between[1] = 1
    zeros = fingerprint(ColumnDataset({"x": torch.zeros(5000)}))
    assert fingerprint(ColumnDataset({"x": first})) != zeros
    assert fingerprint(ColumnDataset({"x": last})) != zeros
    assert fingerprint(ColumnDataset({"x": between})) == zeros


def test_data_that_draw_have_one_digest_and_leave_the_generators_alone() -> None:
    torch.manual_seed(1)
    state = str(get_rng_state())
    digest = fingerprint(Noisy())
    assert str(get_rng_state()) == state
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    assert fingerprint(Noisy()) == digest is not None
    other = Noisy()
    other.columns["x"][0] += 1
    assert fingerprint(other) != digest


def test_a_few_records_stand_for_many() -> None:
    dataset = Records([{"idx": n} for n in range(1000)])
    assert fingerprint(dataset) is not None
    assert dataset.asked == module.SAMPLES
    assert fingerprint(dataset) != fingerprint(Records(dataset.records[:-1]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (1, "1"),
        (1, 1.0),
        (1, True),
        (b"1", "1"),
        (None, 0),
        ([1, 2], [2, 1]),
        ([[1], 2], [[1, 2]]),
        (["a", "b"], ["ab"]),
        ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
        (np.zeros(2), np.ones(2)),
        (np.float32(1), np.float32(2)),
        (torch.zeros(2), torch.zeros(2, 1)),
        (torch.zeros((), dtype=torch.bool), torch.ones((), dtype=torch.bool)),
        (torch.zeros(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.bfloat16)),
    ],
    ids=repr,
)
def test_records_of_every_kind(one: Any, other: Any) -> None:
    digests = [fingerprint(Records([{"x": value}])) for value in (one, one, other)]
    assert None not in digests
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("record", [object(), np.array([object()])], ids=["object", "objects"])
def test_what_has_no_bytes_has_no_digest(record: Any) -> None:
    assert fingerprint(Records([record])) is None


def test_a_record_that_cannot_be_read_is_the_runs_to_tell() -> None:
    class Broken(Records):
        def __getitem__(self, item: int) -> Any:
            torch.rand(1)
            raise OSError("gone")

    state = str(get_rng_state())
    assert fingerprint(Broken([1, 2])) is None
    assert str(get_rng_state()) == state
