"""Rows in their small form, in a process of their own: each trial is a fork of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def small_form(rows: Sequence[str]) -> Mapping[str, Any]:
    """The tally of each of these rows."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--json", *rows],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
