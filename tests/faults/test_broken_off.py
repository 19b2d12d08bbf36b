"""The small form of the rows that break a run off: one half, beside test_faults.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.faults.rows import BROKEN_OFF
from tests.faults.small_form import small_form

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def table() -> Mapping[str, Any]:
    return small_form(BROKEN_OFF)


@pytest.mark.parametrize("row", BROKEN_OFF)
def test_every_fault_is_survived(row: str, table: Mapping[str, Any]) -> None:
    assert table[row]["problems"] == []
    assert table[row]["tried"] > 0 or row == "disk_that_is_small"  # where none can be mounted
