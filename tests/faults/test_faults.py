"""The small form of the rows that do not break a run off: the other half."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.faults.rows import OTHERS
from tests.faults.small_form import small_form

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def table() -> Mapping[str, Any]:
    return small_form(OTHERS)


@pytest.mark.parametrize("row", OTHERS)
def test_every_fault_is_survived(row: str, table: Mapping[str, Any]) -> None:
    assert table[row]["problems"] == []
    assert table[row]["tried"] > 0
