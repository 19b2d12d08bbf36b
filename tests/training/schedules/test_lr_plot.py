from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from legoloop.training.schedules.lr_plot import ascii_plot, planned_rates
from tests.tiny import tiny
from tests.training.schedules.test_lr_plugins import MADE, Rates


@pytest.mark.parametrize("per", ["step", "epoch"])
@pytest.mark.parametrize("name", MADE)
def test_the_planned_rates_are_those_of_the_run(name: str, per: str) -> None:
    def a_schedule() -> tuple[ll.LRScheduler, Rates, ll.TrainingHost]:
        parts = tiny(num_epochs=3, epoch_size=10)
        schedule = ll.LRScheduler(MADE[name](parts.opt), parts.counter, per)  # type: ignore[arg-type]
        rates = Rates(parts.opt)
        return schedule, rates, parts.host(schedule, rates)

    _, rates, host = a_schedule()
    host.run()

    assert planned_rates(a_schedule()[0], tiny(epoch_size=10).epoch.lengths(3)) == rates.seen


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200))
def test_a_picture_has_a_mark_in_every_column_and_at_both_ends(values: list[float]) -> None:
    lines = [line.partition("|")[2] for line in ascii_plot(values, width=20, height=5).splitlines()]
    columns = min(20, len(values))
    assert len(lines) == 5
    assert all(any(line[c : c + 1] == "*" for line in lines) for c in range(columns))
    assert "*" in lines[-1]
    assert "*" in lines[0] or max(values) == min(values)


def test_a_peak_of_one_step_is_seen() -> None:
    values = torch.zeros(1000)
    values[77] = 1.0
    assert "*" in ascii_plot(values.tolist(), width=10).splitlines()[0]
