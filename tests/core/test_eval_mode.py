from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from legoloop.core.eval_mode import evaluation_mode


def draws() -> tuple[float, float, float]:
    return random.random(), np.random.rand(), torch.rand(()).item()


def seeded() -> None:
    random.seed(3), np.random.seed(3), torch.manual_seed(3)


@pytest.mark.parametrize("fails", [False, True])
def test_puts_back_flags_and_generators_whatever_happens(fails: bool) -> None:
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2).eval(), nn.Linear(2, 2)))
    model.train()
    model[1][0].eval()
    flags = [module.training for module in model.modules()]
    seeded()
    expected = draws()
    seeded()

    try:
        with evaluation_mode(model):
            inside = [module.training for module in model.modules()]
            draws(), model(torch.ones(2, 2))
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails

    assert not any(inside)
    assert [module.training for module in model.modules()] == flags
    assert draws() == expected
    assert torch.is_grad_enabled()


def test_what_a_forward_keeps_can_be_trained_through_later() -> None:
    class Caching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))
            self.kept: torch.Tensor | None = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.kept is None:
                self.kept = torch.arange(2.0) * 2
            return self.weight * self.kept * x

    model = Caching()
    with evaluation_mode(model):
        assert not model(torch.ones(2)).requires_grad

    model(torch.ones(2)).sum().backward()
    assert model.weight.grad is not None


class Counting(nn.Module):
    """Changes a buffer whenever it is called, evaluating or not."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self) -> None:
        self.calls += 1


def test_buffers_that_a_model_changes_while_it_evaluates_are_back() -> None:
    model = Counting()
    model()
    with evaluation_mode(model):
        model()
        assert model.calls == 2
    assert model.calls == 1


def test_so_are_those_that_it_puts_another_tensor_in_place_of() -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))
            self.register_buffer("seen", torch.zeros(1))
            self.register_buffer("cache", None)

        def forward(self) -> None:
            self.calls = self.calls + 1
            self.seen = torch.cat([self.seen, torch.ones(1)])
            self.cache = torch.ones(2)

    model = Counts()
    kept = dict(model.named_buffers())
    with evaluation_mode(model):
        model()
    assert dict(model.named_buffers()) == {"calls": 0.0, "seen": 0.0}
    assert model.calls is kept["calls"]
