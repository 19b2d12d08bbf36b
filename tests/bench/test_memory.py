from __future__ import annotations

import pytest

from bench.memory import WRITERS, left_by_steps, measure


@pytest.mark.parametrize("writer", WRITERS)
def test_what_is_written_reads_back(writer: str) -> None:
    figures = measure(writer, rows=2500)
    assert figures["same"]
    assert figures["writing"] > 0


def test_nothing_of_a_step_survives_it() -> None:
    assert left_by_steps(60) == (0, 0)
