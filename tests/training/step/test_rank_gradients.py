"""A step that several ranks share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from legoloop.core.batch_size import RankShare, SizedBatch
from legoloop.core.errors import PluginError
from legoloop.core.rank_group import RankGroup
from legoloop.loop.step import Step
from legoloop.training.step.descent import GradientDescent
from tests.ranks import RankError, in_group

pytestmark = pytest.mark.slow


def a_step() -> Callable[[], None]:
    model = nn.Linear(1, 1)
    descent = GradientDescent(
        torch.optim.SGD(model.parameters(), lr=0.1),
        model,
        feed=lambda batch: (batch, {"y": model(batch["x"])}),
        loss=lambda batch, outputs: (outputs["y"] ** 2).mean(),
    )

    def make() -> None:
        step = Step()
        step.share = RankShare(4, 2, ("train", 0))
        step.batch, step.size = SizedBatch({"x": torch.ones(2, 1)}, 2, step.share), 4
        descent.batch(step)

    return make


def test_one_that_waits_for_gradients_learns_that_another_is_elsewhere() -> None:
    def apart(group: RankGroup) -> None:
        make_step = a_step()
        make_step()
        make_step()  # at its beginning torch arranges the buckets of the gradients anew
        if group.rank == 1:
            group.exchange("commit")
        with pytest.raises(PluginError, match="rank 0 is in a step, rank 1 is at the end"):
            make_step()
        raise RuntimeError("it was told")

    with pytest.raises(RankError, match=r"rank 0: RuntimeError: it was told"):
        in_group(2, apart)
