"""The small form of the suite, in a process of its own: each trial is a fork of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.rows import ROWS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def table() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--json"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("row", ROWS)
def test_every_fault_is_survived(row: str, table: dict[str, Any]) -> None:
    assert table[row]["problems"] == []
    assert table[row]["tried"] > 0 or row == "disk_that_is_small"  # where none can be mounted
