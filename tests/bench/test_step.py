from __future__ import annotations

from importlib import import_module
from math import isfinite
from pathlib import Path

import pytest

from bench.peers import PACKAGES, by_hand, in_legoloop, missing
from bench.rounds import interleaved
from bench.step import featured_table, plain_table, trained
from bench.task import Stream, Task

PEERS = [
    pytest.param(
        name, marks=pytest.mark.skipif(bool(missing(name)), reason=f"no {', '.join(missing(name))}")
    )
    for name in PACKAGES
]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("kind", ["PLAIN", "FEATURED"])
def test_legoloop_computes_what_the_loop_by_hand_does(kind: str, fused: bool) -> None:
    (hand,) = getattr(by_hand, kind).values()
    for trains in getattr(in_legoloop, kind).values():
        assert trained(trains, 60, fused) == trained(hand, 60, fused)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("peer", PEERS)
def test_so_do_the_others(peer: str) -> None:
    module = import_module(f"bench.peers.{peer}")
    for trains in (*module.PLAIN.values(), *module.FEATURED.values()):
        assert trained(trains, 60) == trained(by_hand.plain, 60)


def test_training_changes_the_weights() -> None:
    assert trained(by_hand.plain, 2) != trained(by_hand.plain, 1)


def test_a_step_is_from_one_asking_to_the_next() -> None:
    stream = Stream("batch", length=5, skip=1, clock=iter([10.0, 16.0]).__next__)
    assert list(stream) == ["batch"] * 5
    assert stream.step() == 2e6


@pytest.mark.slow
def test_steps_take_time_and_are_told(tmp_path: Path) -> None:
    def step(fused: bool) -> float:
        task = Task(40, tmp_path, fused)
        in_legoloop.plain(task)
        return task.train.step()

    names = ["by hand", "by hand, fused Adam"]
    found = interleaved({names[0]: lambda: step(False), names[1]: lambda: step(True)}, rounds=2)

    assert all(isfinite(each) and each > 0 for took in found.values() for each in took)
    for told in (plain_table(found), featured_table(found)):
        assert [line.split("|")[1].strip() for line in told.splitlines()[2:]] == names
