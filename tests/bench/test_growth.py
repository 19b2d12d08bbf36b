from __future__ import annotations

from math import isfinite
from pathlib import Path

from bench.growth import ROWS, TIMES, exponent, measured, plot


def test_every_row_has_a_cost_at_every_size(tmp_path: Path) -> None:
    found = measured(rounds=1, divided_by=1000)

    assert found.keys() == ROWS.keys()
    for seconds in found.values():
        assert len(seconds) == len(TIMES)
        assert isfinite(exponent(seconds))
    plot(found, tmp_path / "growth.svg")
    assert "linear" in (tmp_path / "growth.svg").read_text()


def test_the_exponent_of_what_is_linear_is_one() -> None:
    assert exponent([7.0, 0.5, 5.0]) == 1
