from __future__ import annotations

import pytest
import torch

from legoloop.loop.plugin import ShouldSave
from legoloop.loop.saving import Saving


def test_every_request_is_given_a_state_of_its_own_and_once():
    saving, saved = Saving(), []
    for _ in range(2):
        saving.request(ShouldSave(saved.append))
    saving.commit(lambda: {"epoch": 1})
    saving.commit(lambda: {"epoch": 2})
    assert saved == [{"epoch": 1}, {"epoch": 1}]
    assert saved[0] is not saved[1]


def test_what_is_requested_while_saving_is_saved_at_the_next_commit():
    saving, saved = Saving(), []

    def save(state):
        saved.append(state)
        saving.request(ShouldSave(saved.append))

    saving.request(ShouldSave(save))
    saving.commit(lambda: {"epoch": 1})
    assert saved == [{"epoch": 1}]
    saving.commit(lambda: {"epoch": 2})
    assert saved == [{"epoch": 1}, {"epoch": 2}]


def test_a_state_that_is_kept_stands_while_the_containers_change_and_shares_its_tensors():
    weight = torch.ones(2)
    state = {"plugins": {"rows": [1], "weight": (weight,)}}
    saving = Saving()
    saving.keep(state)
    state["plugins"]["rows"].append(2)
    kept = saving.kept["plugins"]
    assert kept["rows"] == [1]
    assert kept["weight"][0] is weight
    saving.discard()
    assert saving.kept is None


def test_what_is_saved_at_the_end_alone_takes_no_state_before():
    saving, saved = Saving(), []
    for is_ending in (False, True):
        saving.request(ShouldSave(saved.append, only_at_end=True))
        if not is_ending:
            saving.drop_those_at_end()
        saving.commit(lambda: {"taken": True})
        assert len(saved) == is_ending
    assert saving.requests == []


@pytest.mark.parametrize(("is_ending", "due"), [(False, ["now"]), (True, ["end", "now"])])
def test_a_rank_saves_as_often_as_rank_0_what_is_due_first(is_ending, due):
    saving, saved, states = Saving(), [], []
    saving.request(ShouldSave(lambda state: saved.append("end"), only_at_end=True))
    saving.request(ShouldSave(lambda state: saved.append("now")))
    if not is_ending:
        saving.drop_those_at_end()
    saving.match(3)
    saving.commit(lambda: states.append(1))
    assert (saved, len(states)) == (due, 3)
