"""What ``model_summary`` keeps to, for every model that ships: it tells all, changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import legoloop as ll
from legoloop.core import rng
from legoloop.zoo.models import MLP, Logistic, SimpleCNN
from tests.bricks import bricks
from tests.tiny import weights

TOLD = {"num_outputs": 3, "task": "multiclass", "input_key": "image"}
MADE: dict[type, Callable[[], nn.Module]] = {
    Logistic: lambda: Logistic(num_features=64, **TOLD),
    MLP: lambda: MLP(num_features=64, dropout=0.5, **TOLD),
    SimpleCNN: lambda: SimpleCNN(image_shape=(1, 8, 8), **TOLD),
}
every_model = pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)


def summary(model: nn.Module) -> str:
    batch = {"image": torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))}
    return ll.model_summary(model, ll.Feed(model, "cpu"), batch)


def test_none_is_missing_here() -> None:
    assert {brick.thing for brick in bricks() if ".models." in brick.target} == set(MADE)


@every_model
def test_tells_every_layer_and_every_weight(kind: type) -> None:
    model = MADE[kind]()
    next(model.parameters()).requires_grad = False
    counted = [sum(p.numel() for p in model.parameters() if p.requires_grad >= q) for q in (0, 1)]
    *table, _, total = summary(model).splitlines()
    assert len(table) == 1 + len(list(model.modules()))
    assert total.startswith(f"total params: {counted[0]:,} (")
    assert f"trainable: {counted[1]:,}, buffers: " in total


@every_model
def test_changes_nothing(kind: type) -> None:
    model = MADE[kind]()
    before, generators, flags = weights(model), str(rng.get_rng_state()), model.training
    assert summary(model) == summary(model)
    assert (weights(model), str(rng.get_rng_state()), model.training) == (before, generators, flags)
    assert not any(module._forward_hooks for module in model.modules())
