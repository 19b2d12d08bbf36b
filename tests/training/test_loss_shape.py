"""A loss gives one value a sample or a scalar; anything else is told with the shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

import legoloop as ll
from legoloop.zoo.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError
from tests.tiny import columns, sample_losses, tiny

Losses = Callable[[Any, Any], Any]


def per_column(batch: Any, outputs: Any) -> Any:
    return outputs["logits"]


def column(batch: Any, outputs: Any) -> Any:
    return sample_losses(batch, outputs).unsqueeze(1)


def broadcast(batch: Any, outputs: Any) -> Any:
    return (column(batch, outputs) - batch["target"]) ** 2


def some(batch: Any, outputs: Any) -> Any:
    return sample_losses(batch, outputs)[1:]


def one(batch: Any, outputs: Any) -> Any:
    return sample_losses(batch, outputs).mean(0, keepdim=True)


def twice(batch: Any, outputs: Any) -> Any:
    return sample_losses(batch, outputs).repeat(2)


WRONG: dict[Losses, str] = {
    per_column: r"\(22, 3\)",
    column: r"\(22, 1\)",
    broadcast: r"\(22, 22\)",
    some: r"\(21,\)",
    one: r"\(1,\)",
    twice: r"\(44,\)",
}


def step_of(loss: Losses, size: int | None = 22, **given: Any) -> ll.Step:
    parts = tiny(loss=loss)
    descent = ll.GradientDescent(parts.opt, parts.model, parts.feed, loss, **given)
    step = ll.Step()
    step.batch = columns(22)
    if size is not None:
        step.size = size
    descent.batch(step)
    return step


@pytest.mark.parametrize("loss", WRONG, ids=lambda loss: loss.__name__)
@pytest.mark.parametrize("size", [None, 22])
def test_another_shape_is_told(loss: Losses, size: int | None) -> None:
    message = (
        rf"the loss has shape {WRONG[loss]} for a batch of 22 samples; return a scalar, or one "
        r"value per sample, shape \(22,\); outputs: 'logits' \(22, 3\); "
        r"batch: 'x' \(22, 4\), 'target' \(22,\)$"
    )
    with pytest.raises(ll.DataError, match=message):
        step_of(loss, size)


@pytest.mark.parametrize("loss", [some, twice, broadcast], ids=lambda loss: loss.__name__)
def test_in_a_run_and_in_micro_batches_too(loss: Losses) -> None:
    with pytest.raises(ll.DataError, match="return a scalar, or one value per sample"):
        tiny(loss=loss).host().run()
    with pytest.raises(ll.DataError, match="return a scalar, or one value per sample"):
        step_of(loss, micro_batch_size=5)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_a_loss_that_is_no_float_is_told(dtype: torch.dtype) -> None:
    with pytest.raises(ll.DataError, match=f"the loss is of {dtype}; give a tensor of floats"):
        step_of(lambda batch, outputs: outputs["logits"].sum().detach().to(dtype))


@pytest.mark.parametrize("wrong", [broadcast, some])
def test_one_of_several_losses_is_told_by_its_name(wrong: Losses) -> None:
    def mean(batch: Any, outputs: Any) -> Any:
        return sample_losses(batch, outputs).mean()

    parts = tiny(loss=ll.WeightedLosses({"right": mean, "wrong": wrong}))
    with pytest.raises(ll.DataError, match=r"the loss 'wrong' has shape .* for a batch of 4 samp"):
        parts.host().run()


def test_the_size_that_a_driver_of_ones_own_gives_is_believed_where_the_batch_does_not_say() -> (
    None
):
    """The first column has no entry a sample."""

    class Drive:
        def __init__(self, size: int) -> None:
            self.size = size

        def batches(self) -> Iterator[tuple[Any, int]]:
            yield {"edges": torch.zeros(2, 9), **columns(3)}, self.size

    for size in (3, 4):
        parts = tiny(num_epochs=1, loss=sample_losses)
        host = ll.TrainingHost([Drive(size), parts.descent, parts.counter, parts.last])
        if size == 3:
            host.run()
        else:
            with pytest.raises(ll.DataError, match=r"has shape \(3,\) for a batch of 2 samples"):
                host.run()


class Heads(nn.Module):
    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"logits": batch["x"] * 1.0, "prediction": batch["x"] * 1.0}


@pytest.mark.parametrize(
    ("loss", "x", "target"),
    [
        (BinaryCrossEntropy, torch.randn(6), torch.rand(6)),
        (BinaryCrossEntropy, torch.randn(6, 3), torch.rand(6, 3)),
        (BinaryCrossEntropy, torch.randn(6, 3, 2), torch.rand(6, 3, 2)),
        (MeanSquaredError, torch.randn(6), torch.randn(6)),
        (MeanSquaredError, torch.randn(6, 3, 2), torch.randn(6, 3, 2)),
        (CrossEntropy, torch.randn(6, 5), torch.randint(5, (6,))),
        (CrossEntropy, torch.randn(6, 5, 4), torch.randint(5, (6, 4))),
        (CrossEntropy, torch.randn(6, 5), torch.rand(6, 5).softmax(1)),
    ],
)
def test_a_loss_that_ships_gives_one_value_a_sample_whose_mean_is_its_own(
    loss: Any, x: torch.Tensor, target: torch.Tensor
) -> None:
    batch, outputs = {"x": x, "target": target}, Heads()({"x": x})
    losses = loss(reduction="none")(batch, outputs)
    assert losses.shape == (6,)
    torch.testing.assert_close(losses.mean(), loss()(batch, outputs))
