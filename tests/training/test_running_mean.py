from __future__ import annotations

import torch

from legoloop.training.running_mean import RunningMean


def test_goes_on_from_a_sum() -> None:
    whole, begun, other = RunningMean("x"), RunningMean("x"), RunningMean("x")
    for mean in (whole, begun):
        mean.add(torch.tensor(0.1), weight=3)
    other.load(begun.total, begun.weight)
    for mean in (whole, other):
        mean.add(torch.tensor(0.7), weight=2)
    assert other.scalars() == whole.scalars()
    whole.reset()
    assert whole.scalars() == {}


def test_what_weighs_nothing_counts_for_nothing() -> None:
    mean = RunningMean("x")
    mean.add(torch.tensor(0.5), weight=0)
    assert mean.scalars() == {}
