"""What every function that makes a model of another one keeps to."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import legoloop as ll
from tests.models_of_others import Inception, ResNet

MADE: dict[str, Callable[[], nn.Module]] = {
    "adapted_model": lambda: ll.adapted_model(ResNet(), ["image"], "logits"),
    "adapted_model by its own names": lambda: ll.adapted_model(Inception(), {"x": "image"}),
}
every_model = pytest.mark.parametrize("kind", MADE)


def batch_of(samples: int = 4) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    return {"image": torch.randn(samples, 3, 8, 8, generator=generator), "idx": list("abcd")}


def test_none_is_missing_here() -> None:
    assert {name for name in ll.__all__ if name.endswith("_model")} <= set(MADE)


@every_model
def test_a_batch_goes_in_and_comes_out_as_it_was(kind: str) -> None:
    batch = batch_of()
    outputs = MADE[kind]()(batch)
    assert outputs["logits"].shape == (4, 10)
    assert torch.equal(batch.pop("image"), batch_of()["image"])
    assert batch == {"idx": list("abcd")}


@every_model
def test_its_weights_go_into_another_and_into_a_copy(kind: str) -> None:
    model, other = MADE[kind](), MADE[kind]()
    other.load_state_dict(model.state_dict())
    expected = model(batch_of())["logits"]
    for same in (other, copy.deepcopy(model).train()):
        assert torch.equal(same(batch_of())["logits"], expected)


@every_model
def test_every_weight_has_a_gradient(kind: str) -> None:
    model = MADE[kind]()
    sum(output.sum() for output in model(batch_of()).values()).backward()
    assert all(weight.grad is not None for weight in model.parameters())
