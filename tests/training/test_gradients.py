from __future__ import annotations

import pytest
import torch

from legoloop.training.gradients import backpropagate


class Marked(torch.Tensor):
    """A tensor of somebody's own kind."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_gradients_are_those_of_backward(dtype: torch.dtype) -> None:
    ours, theirs = (torch.ones(3, dtype=dtype, requires_grad=True) for _ in range(2))
    for _ in range(2):  # they add up
        backpropagate((ours * 3).square().mean())
        (theirs * 3).square().mean().backward()
    assert torch.equal(ours.grad, theirs.grad)  # type: ignore[arg-type]


def test_a_loss_that_is_a_weight_itself_does_not_change_the_next() -> None:
    weight = torch.tensor(2.0, requires_grad=True)
    backpropagate(weight)
    backpropagate(weight)
    other = torch.tensor(2.0, requires_grad=True)
    backpropagate(other)
    assert (weight.grad, other.grad) == (2.0, 1.0)


def test_a_tensor_of_another_kind_has_its_own_backward() -> None:
    weight = torch.ones(2, requires_grad=True)
    backpropagate(weight.sum().as_subclass(Marked))
    assert torch.equal(weight.grad, torch.ones(2))  # type: ignore[arg-type]


def test_no_one_is_made_anew() -> None:
    weight = torch.ones(2, requires_grad=True)
    backpropagate(weight.sum())
    loss = weight.sum()
    with torch.autograd.profiler.profile() as seen:
        backpropagate(loss)
    assert "aten::ones_like" not in {event.name for event in seen.function_events}
