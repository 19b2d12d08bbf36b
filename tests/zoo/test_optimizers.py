from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from legoloop.zoo.optimizers import Lion

numbers = st.floats(-2, 2, width=32)


@given(
    start=numbers,
    gradients=st.lists(numbers, max_size=6),
    lr=st.floats(0.01, 1),
    betas=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    weight_decay=st.floats(0, 0.5),
)
def test_steps_as_the_paper_says(
    start: float,
    gradients: list[float],
    lr: float,
    betas: tuple[float, float],
    weight_decay: float,
) -> None:
    weight = torch.tensor([start, 1.0], dtype=torch.float64, requires_grad=True)
    opt = Lion([weight], lr, betas, weight_decay)
    expected, momentum = weight.detach().clone(), torch.zeros(2, dtype=torch.float64)
    for number in gradients:
        weight.grad = torch.tensor([number, -number], dtype=torch.float64)
        update = momentum.lerp(weight.grad, 1 - betas[0]).sign()
        expected = expected * (1 - lr * weight_decay) - lr * update
        momentum = momentum.lerp(weight.grad, 1 - betas[1])
        opt.step()
    torch.testing.assert_close(weight.detach(), expected)


def test_leaves_weights_without_a_gradient_alone_and_takes_a_closure() -> None:
    used, unused = (torch.ones(1, requires_grad=True) for _ in range(2))
    opt = Lion([used, unused], lr=0.5, weight_decay=0.5)

    def closure() -> torch.Tensor:
        loss = (used**2).sum()
        loss.backward()
        return loss

    assert opt.step(closure).item() == 1.0
    assert (used.item(), unused.item()) == (0.25, 1.0)


def test_goes_on_from_its_state() -> None:
    def made() -> tuple[torch.Tensor, Lion]:
        weight = torch.tensor([1.0, -2.0], requires_grad=True)
        return weight, Lion([weight], lr=0.1, weight_decay=0.1)

    def step(weight: torch.Tensor, opt: Lion) -> None:
        weight.grad = weight.detach() ** 2 - 1
        opt.step()

    whole, opt = made()
    step(whole, opt)
    resumed, other = made()
    resumed.data.copy_(whole.detach())
    other.load_state_dict(opt.state_dict())
    for weight, its in ((whole, opt), (resumed, other)):
        step(weight, its)
    assert torch.equal(resumed, whole)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [({"lr": 0.0}, "lr"), ({"weight_decay": -1.0}, "weight_decay"), ({"betas": (-1, 0)}, "betas")],
)
def test_refuses_what_is_out_of_range(wrong: dict[str, float], name: str) -> None:
    with pytest.raises(ll.ArgumentError, match=name):
        Lion([torch.ones(1, requires_grad=True)], **wrong)  # type: ignore[arg-type]
