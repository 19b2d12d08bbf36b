"""What ranks tell each other, and that they notice where they have come apart."""

from __future__ import annotations

import signal
from typing import Any

import pytest
import torch
from torch import nn

from legoloop.core.errors import PluginError
from legoloop.core.interruption import Interrupted
from legoloop.core.rank_group import RankGroup, RankLost
from tests.ranks import RankError, in_group, on_ranks

pytestmark = pytest.mark.slow


def test_they_tell_numbers_and_values_in_the_order_of_the_ranks() -> None:
    def told(group: RankGroup) -> Any:
        numbers = group.exchange("step", group.rank + 0.1)
        return numbers, group.gather("x" * group.rank), group.total(group.rank)

    assert in_group(3, told) == [([0.1, 1.1, 2.1], ["", "x", "xx"], 3.0)] * 3


def test_all_go_by_the_clock_of_the_first() -> None:
    clocks = in_group(2, lambda group: (group.exchange("commit"), group.clock())[1])
    assert clocks[0] == clocks[1]


def test_one_that_is_asked_to_end_ends_all() -> None:
    def interrupted(group: RankGroup) -> Any:
        if group.rank == 1:
            group.notice(Interrupted(signal.SIGTERM))
        before = group.interruption
        group.exchange("commit")
        return before, str(group.interruption)

    assert in_group(2, interrupted) == [(None, "SIGTERM")] * 2


def test_ranks_at_different_places_end_with_a_message() -> None:
    def apart(group: RankGroup) -> None:
        group.exchange("commit" if group.rank else "step")

    with pytest.raises(RankError, match="rank 0 is in a step, rank 1 is at the end of a stage"):
        in_group(2, apart)


def test_what_rank_0_saves_all_save_and_any_can_stop() -> None:
    def agreed(group: RankGroup) -> Any:
        going_on = group.agree_on_stop(None)
        reason = group.agree_on_stop("enough" if group.rank else None)
        return group.agree_on_saves(2 - group.rank), going_on, reason

    assert in_group(2, agreed) == [(2, None, "rank 1 asked to stop"), (2, None, "enough")]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
def test_weights_that_differ_in_one_bit_are_noticed(dtype: torch.dtype) -> None:
    def compared(group: RankGroup) -> bool:
        weight = torch.ones(5, dtype=dtype)
        group.check_replicas([weight])
        if group.rank == 1:
            words = torch.view_as_real(weight) if weight.is_complex() else weight
            words.view(torch.uint8)[0] ^= 1
        with pytest.raises(PluginError, match="do not have the same weights"):
            group.check_replicas([weight])
        return True

    assert in_group(2, compared) == [True, True]


def test_buffers_are_those_of_rank_0() -> None:
    def synced(group: RankGroup) -> float:
        norm = nn.BatchNorm1d(1)
        norm.running_mean.fill_(group.rank + 1)
        group.sync_buffers(norm)
        return norm.running_mean.item()

    assert in_group(2, synced) == [1.0, 1.0]


def test_one_that_is_gone_is_lost() -> None:
    def alone(rank: int) -> Any:
        group = RankGroup(rank, 2, timeout=30)
        if rank == 1:
            return None
        with pytest.raises(RankLost, match="the connection to another rank is lost"):
            group.exchange("step")
        return "lost"

    assert on_ranks(2, alone) == ["lost", None]
