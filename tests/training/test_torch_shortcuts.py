from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
import torch._dynamo

from legoloop.training import torch_shortcuts
from legoloop.training.torch_shortcuts import (
    ddp_without_dynamo,
    fast_backward,
    fast_zero_grad,
)


class Marked(torch.Tensor):
    """A tensor of somebody's own kind."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_gradients_are_those_of_backward(dtype: torch.dtype) -> None:
    ours, theirs = (torch.ones(3, dtype=dtype, requires_grad=True) for _ in range(2))
    for _ in range(2):  # they add up
        fast_backward((ours * 3).square().mean())
        (theirs * 3).square().mean().backward()
    assert torch.equal(ours.grad, theirs.grad)  # type: ignore[arg-type]


def test_a_loss_that_is_a_weight_itself_does_not_change_the_next() -> None:
    weight = torch.tensor(2.0, requires_grad=True)
    fast_backward(weight)
    fast_backward(weight)
    other = torch.tensor(2.0, requires_grad=True)
    fast_backward(other)
    assert (weight.grad, other.grad) == (2.0, 1.0)


def test_a_tensor_of_another_kind_has_its_own_backward() -> None:
    weight = torch.ones(2, requires_grad=True)
    fast_backward(weight.sum().as_subclass(Marked))
    assert torch.equal(weight.grad, torch.ones(2))  # type: ignore[arg-type]


@pytest.mark.parametrize("in_place", [torch.Tensor.zero_, lambda gradient: gradient.data.zero_()])
def test_a_gradient_changed_in_place_does_not_change_the_next(in_place: Any) -> None:
    weight = torch.ones(1, requires_grad=True)
    fast_backward(weight.squeeze())  # its gradient shares the memory of that of the loss
    in_place(weight.grad)
    other = torch.ones(2, requires_grad=True)
    fast_backward(other.sum())
    assert torch.equal(other.grad, torch.ones(2))  # type: ignore[arg-type]


def test_nor_does_a_hook_that_changes_that_of_the_loss() -> None:
    weight = torch.ones(1, requires_grad=True)
    for _ in range(2):
        loss = weight.sum()
        loss.register_hook(lambda gradient: gradient.mul_(2.0))  # type: ignore[no-untyped-call]
        weight.grad = None
        fast_backward(loss)
    assert torch.equal(weight.grad, torch.full((1,), 2.0))  # type: ignore[arg-type]


def test_a_loss_that_is_complex_is_refused_as_ever() -> None:
    weight = torch.ones((), dtype=torch.complex64, requires_grad=True)
    with pytest.raises(RuntimeError, match="real scalar outputs"):
        fast_backward(weight * 2)


class Own(torch.optim.SGD):
    """One that keeps its gradients, at 0."""

    def zero_grad(self, set_to_none: bool = False) -> None:
        super().zero_grad(set_to_none=False)


def kept(opt: torch.optim.Optimizer) -> torch.optim.Optimizer:
    opt.zero_grad = partial(opt.zero_grad, set_to_none=False)  # type: ignore[method-assign]
    return opt


class StandIn:
    def __init__(self, opt: torch.optim.Optimizer) -> None:
        self.opt = opt

    def __getattr__(self, name: str) -> Any:
        return getattr(self.opt, name)


@pytest.mark.parametrize(
    "made",
    [
        lambda params: Own(params, lr=0.1),
        lambda params: kept(torch.optim.SGD(params, lr=0.1)),
        lambda params: StandIn(kept(torch.optim.SGD(params, lr=0.1))),
    ],
)
def test_an_own_way_to_forget_gradients_is_taken(made: Any) -> None:
    weight = torch.ones(1, requires_grad=True)
    weight.grad = torch.ones(1)
    fast_zero_grad(made([weight]))
    assert torch.equal(weight.grad, torch.zeros(1))


def test_what_stands_in_for_the_tracer_is_gone_and_all_else_is_the_tracers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = torch._dynamo
    monkeypatch.setattr(torch_shortcuts, "DYNAMO", "torch._dynamo_of_tests")
    with ddp_without_dynamo():
        stand_in = torch._dynamo_of_tests  # type: ignore[attr-defined]
        assert stand_in.utils.get_optimize_ddp_mode() == "ddp_optimizer"
        with pytest.raises(ModuleNotFoundError):
            assert stand_in.config
    assert not hasattr(torch, "_dynamo_of_tests")
    assert torch._dynamo is real


def test_the_default_is_torchs() -> None:
    assert torch._dynamo.utils.get_optimize_ddp_mode() == torch_shortcuts.DEFAULT_DDP_MODE


def test_with_the_tracer_imported_it_is_asked_itself() -> None:
    real = torch._dynamo
    with ddp_without_dynamo():
        assert torch._dynamo is real


def test_and_with_the_shortcuts_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_shortcuts, "ENABLED", False)
    monkeypatch.setattr(torch_shortcuts, "DYNAMO", "torch._dynamo_of_tests")
    with ddp_without_dynamo():
        assert not hasattr(torch, "_dynamo_of_tests")
