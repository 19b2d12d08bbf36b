"""What every way to share a step keeps to: all ranks have the mean of their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import legoloop as ll
from legoloop.core.rank_group import RankGroup
from legoloop.core.shards import whole
from tests.ranks import in_group

pytestmark = pytest.mark.slow

MADE: dict[str, Callable[[], Any]] = {
    "ddp": ll.DataParallel,
    "unused": lambda: ll.DataParallel(find_unused_parameters=True, bucket_cap_mb=0.001),
    "fsdp": ll.FullySharded,
    "kept": lambda: ll.FullySharded(reshard_after_forward=False),
}


@pytest.mark.parametrize("name", MADE)
def test_gradients_are_the_mean_of_the_ranks(name: str) -> None:
    def gradients(group: RankGroup) -> Any:
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        parallel = MADE[name]()
        parallel.prepare(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        step = parallel.wrap(model, optimizer, lambda x: model(x).sum())
        own = torch.full((1, 3), float(group.rank + 1))
        with step.no_sync():
            step(10 * own).backward()
        step(own).backward()
        parallel.check(model)
        return [whole(weight.grad).tolist() for weight in model.parameters()]

    first, second = in_group(2, gradients)
    assert first == second
    assert first == [[[16.5] * 3] * 2, [2.0] * 2]  # 11 times the mean of 1 and 2


def test_parameters_without_a_gradient_are_named() -> None:
    def told(group: RankGroup) -> str:
        model = nn.ModuleDict({"used": nn.Linear(1, 1), "left": nn.Linear(1, 1, bias=False)})
        parallel = ll.DataParallel()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        step = parallel.wrap(model, optimizer, lambda x: model["used"](x).sum())
        step(torch.ones(1, 1)).backward()
        with pytest.raises(ll.DataError) as error:
            step(torch.ones(1, 1))
        return str(error.value)

    assert (
        in_group(2, told)
        == [
            "the loss does not depend on all parameters: left.weight got no gradient in the step "
            "before; give parallel.find_unused_parameters=true, or freeze them"
        ]
        * 2
    )
