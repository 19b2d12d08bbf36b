from __future__ import annotations

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
