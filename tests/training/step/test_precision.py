from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import legoloop as ll
from legoloop.training.step.precision import autocast_dtype, has_bf16
from tests.tiny import Net, columns

CPU = torch.device("cpu")


class Seeing(nn.Module):
    """Tells in which type its layer computed."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        logits = self.layer(batch["x"])
        return {"logits": logits, "computed_in": logits.dtype, "half": batch["x"].double()}


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("fp32", torch.float32), ("amp_bf16", torch.bfloat16), ("amp_fp16", torch.float16)],
)
def test_the_model_computes_in_it_and_hands_out_float32(precision: Any, dtype: torch.dtype) -> None:
    model = Seeing()
    _, outputs = ll.Feed(model, "cpu", precision)({"x": torch.randn(5, 4)})

    assert outputs["computed_in"] is dtype
    assert outputs["logits"].dtype is torch.float32
    assert outputs["half"].dtype is torch.float64
    assert model.layer.weight.dtype is torch.float32


def test_auto_is_what_the_hardware_has() -> None:
    assert autocast_dtype("auto", CPU) is (torch.bfloat16 if has_bf16(CPU) else None)
    assert autocast_dtype("auto", torch.device("meta")) is None


def trained(
    precision: Any,
    scaler: torch.amp.GradScaler | None = None,
    steps: int = 60,
    factor: float = 1.0,
) -> Any:
    torch.manual_seed(0)
    model = Net()
    feed = ll.Feed(model, "cpu", precision)
    descent = ll.GradientDescent(
        torch.optim.SGD(model.parameters(), lr=0.1),
        model,
        feed,
        lambda batch, outputs: factor * cross_entropy(outputs["logits"], batch["target"]),
        scaler=scaler,
    )
    step = ll.Step()
    losses = []
    for _ in range(steps):
        step.batch, step.size = columns(), 22
        descent.batch(step)
        losses.append(step.loss_float)
    return descent, losses


def test_sixteen_bits_learn_about_as_well() -> None:
    _, plain = trained("fp32")
    for precision, scaler in (("amp_bf16", None), ("amp_fp16", ll.grad_scaler(CPU))):
        _, losses = trained(precision, scaler)
        assert losses[-1] < losses[0] / 1.5
        assert losses[-1] == pytest.approx(plain[-1], rel=0.05)


def test_a_scaler_changes_nothing_where_nothing_vanishes() -> None:
    scaled, _ = trained("fp32", ll.grad_scaler(CPU))
    plain, _ = trained("fp32")
    for one, other in zip(scaled.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_gradients_are_clipped_after_they_are_scaled_back() -> None:
    descent, _ = trained("fp32", ll.grad_scaler(CPU), steps=1)
    descent.clip = clipping = ll.GradientClipping()
    step = ll.Step()
    step.batch, step.size = columns(), 22
    descent.batch(step)
    (norm,) = clipping.scalars().values()
    assert 0 < norm < 10


def test_a_step_with_gradients_that_overflow_is_left_out_and_the_scale_falls() -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    descent, _ = trained("fp32", scaler, steps=0, factor=100.0)
    before = [parameter.clone() for parameter in descent.model.parameters()]
    step = ll.Step()
    step.batch, step.size = columns(), 22
    descent.batch(step)
    assert all(map(torch.equal, before, descent.model.parameters()))
    assert scaler.get_scale() < 2.0**127


def test_the_scale_is_part_of_the_state() -> None:
    descent, _ = trained("fp32", torch.amp.GradScaler("cpu", init_scale=64.0), steps=1)
    other, _ = trained("fp32", ll.grad_scaler(CPU), steps=0)
    other.load_state_dict(descent.state_dict())
    assert other.scaler.get_scale() == 64.0


def test_a_scaler_and_a_guard_of_gradients_do_not_go_together() -> None:
    model = Net()
    with pytest.raises(ll.ArgumentError, match="the scaler checks the gradients itself"):
        ll.GradientDescent(
            torch.optim.SGD(model.parameters(), lr=0.1),
            model,
            ll.Feed(model, "cpu"),
            lambda batch, outputs: outputs["logits"].mean(),
            guard=ll.NonFiniteGuard(gradients=True),
            scaler=ll.grad_scaler(CPU),
        )


@pytest.mark.parametrize("precision", ["16", "bf32"])
def test_another_precision_is_refused(precision: Any) -> None:
    with pytest.raises(ll.ArgumentError, match=f"precision is '{precision}'"):
        ll.Feed(Net(), "cpu", precision)
