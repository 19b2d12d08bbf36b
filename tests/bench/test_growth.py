from __future__ import annotations

from math import isfinite
from pathlib import Path

import pytest

from bench import growth
from bench.growth import ROWS, by_hand, checkpoint, exponent, measured, plot


@pytest.mark.long
def test_every_row_has_a_cost_at_every_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "TIMES", (1, 2, 3))
    found = measured(rounds=1, divided_by=1000)

    assert found.keys() == ROWS.keys()
    for seconds in found.values():
        assert len(seconds) == 3
        assert isfinite(exponent(seconds))
    plot(found, tmp_path / "growth.svg")
    assert "linear" in (tmp_path / "growth.svg").read_text()


def test_the_exponent_of_what_is_linear_is_one() -> None:
    assert exponent([7.0, 0.5, 5.0]) == 1


def test_what_is_written_by_hand_is_the_state_of_the_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "by hand").mkdir()
    checkpoint(1000, tmp_path)()
    by_hand(1000, tmp_path / "by hand")()
    ours = (tmp_path / "0" / "state.pt").stat().st_size
    assert (tmp_path / "by hand" / "0").stat().st_size == ours
