from __future__ import annotations

import pytest

from legoloop.loop.step import Step


def test_a_new_and_an_emptied_step_hold_nothing():
    step = Step()
    for _ in range(2):
        assert (step.batch, step.outputs, step.loss, step.size) == (None, None, None, 0)
        step.batch, step.outputs, step.loss, step.size = {}, {}, 1.0, 3
        step.clear()


def test_nothing_but_the_slots_can_be_carried():
    with pytest.raises(AttributeError):
        Step().counter = 3
