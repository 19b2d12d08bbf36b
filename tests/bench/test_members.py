from __future__ import annotations

from math import isfinite

import pytest

from bench.members import ALONE, WORKLOADS, measured, table_of

CLOCK = iter(range(10**9)).__next__


@pytest.mark.slow
@pytest.mark.parametrize("name", [*WORKLOADS])
def test_members_are_beside_a_run_alone(name: str) -> None:
    found = measured(WORKLOADS[name], [2], rounds=1, steps=2, clock=CLOCK, compiles=False)
    assert [*found] == [ALONE, "2 eager"]
    assert all(isfinite(took) for (took,) in found.values())
    assert table_of(name, found).count("\n") == 3
