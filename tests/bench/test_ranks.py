from __future__ import annotations

from math import isfinite

import pytest

from bench.ranks import BARE, HAND, PEERS, WORKLOADS, measured, rows_of, train, trainers

MLP, *_, CNN = WORKLOADS.values()
CLOCK = iter(range(10**9)).__next__

pytestmark = pytest.mark.slow


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("load", [MLP, pytest.param(CNN, marks=pytest.mark.long)])
def test_all_compute_what_ddp_by_hand_does(load: object) -> None:
    hand = train(trainers(2)[HAND], load, size=2, steps=3)
    assert hand[0][1] == hand[1][1]
    for trains in trainers(2).values():
        assert [weights for _, weights in train(trains, load, size=2, steps=3)] == [hand[0][1]] * 2


def test_a_process_alone_computes_what_the_loop_by_hand_does() -> None:
    (alone,) = train(trainers(1)[BARE], MLP, size=1, steps=3)
    (ours,) = train(trainers(1)["legoloop"], MLP, size=1, steps=3)
    assert alone[1] == ours[1]


@pytest.mark.long
def test_ranks_are_beside_one_process() -> None:
    found = measured(MLP, rounds=1, steps=3, clock=CLOCK)
    rows = {name: rest for name, *rest in rows_of(found)}
    assert [*rows][:3] == [BARE, HAND, "legoloop"]
    assert {*rows} <= {BARE, HAND, "legoloop", *PEERS}
    assert rows[HAND][2] == "1.000"
    assert all(isfinite(float(cell)) for row in rows.values() for cell in row if cell)
