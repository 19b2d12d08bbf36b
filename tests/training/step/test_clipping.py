from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

import legoloop as ll
from tests.tiny import mean_loss, tiny, weights


def hand_written(clip: Any) -> tuple[bytes, list[float]]:
    """The final weights of the tiny app, and what clipping returned at each step."""
    parts = tiny(num_epochs=0)
    torch.manual_seed(0)
    parts.model.train()
    norms = []
    for _ in range(12):
        batch = next(parts.loops["train"])
        parts.opt.zero_grad()
        mean_loss(batch, parts.model(batch)).backward()
        norms.append(float(clip(parts.model.parameters()) or 0.0))
        parts.opt.step()
    return weights(parts.model), norms


@pytest.mark.parametrize("norm_type", [1.0, 2.0, float("inf")])
def test_by_norm_equals_torch_bit_for_bit_and_tells_the_norm(norm_type: float) -> None:
    parts = tiny()
    clipping = ll.GradientClipping(max_norm=0.5, norm_type=norm_type)
    parts.descent.clip = clipping
    history = ll.History(parts.counter, clipping)

    trained = parts.trained(clipping, history)

    expected, norms = hand_written(lambda p: clip_grad_norm_(p, 0.5, norm_type))
    assert trained == expected != tiny().trained()
    assert max(norms) > 0.5
    told = [row["gradient_norm"] for row in history.rows.values()]
    assert told == pytest.approx([sum(norms[:6]) / 6, sum(norms[6:]) / 6])


def test_by_value_equals_torch_bit_for_bit() -> None:
    parts = tiny()
    parts.descent.clip = ll.GradientClipping(max_value=0.01)

    trained = parts.trained()

    assert trained == hand_written(lambda p: clip_grad_value_(p, 0.01))[0] != tiny().trained()


def test_with_neither_it_only_measures() -> None:
    parts = tiny()
    parts.descent.clip = clipping = ll.GradientClipping(tag="norm")

    assert parts.trained(clipping) == tiny().trained()
    assert clipping.scalars()["norm"] > 0


def test_a_function_of_torch_will_do() -> None:
    parts = tiny()
    parts.descent.clip = lambda parameters: clip_grad_norm_(parameters, 0.5)
    assert parts.trained() == hand_written(lambda p: clip_grad_norm_(p, 0.5))[0]


def test_parameters_without_gradient_are_left_alone() -> None:
    clipping = ll.GradientClipping(max_norm=1.0)
    alone, other = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    alone.grad = torch.tensor([4.0])
    clipping([alone, other])
    assert clipping.scalars() == {"gradient_norm": 4.0}
    assert other.grad is None


def test_a_step_that_the_guard_skips_is_not_measured() -> None:
    parts = tiny(num_epochs=1, dataset=ll.ColumnDataset({"x": torch.full((4, 4), torch.nan)}))
    clipping = ll.GradientClipping(max_norm=1.0)
    parts.descent = ll.GradientDescent(
        *(parts.opt, parts.model, parts.feed, lambda batch, outputs: outputs["logits"].mean()),
        guard=ll.NonFiniteGuard("skip"),
        clip=clipping,
    )
    parts.host(clipping).run()
    assert parts.counter.steps == 1
    assert clipping.scalars() == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_norm": 0.0}, "max_norm is 0.0; give a number above 0, or None"),
        ({"max_value": -1.0}, "max_value is -1.0; give a number above 0, or None"),
        ({"max_norm": 1.0, "max_value": 2.0}, "max_value is 2.0 and max_norm is 1.0; give one"),
    ],
)
def test_refuses_what_makes_no_sense(given: Any, message: str) -> None:
    with pytest.raises(ll.ArgumentError, match=message):
        ll.GradientClipping(**given)


class Words(nn.Module):
    def __init__(self, sparse: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(5, 3, sparse=sparse)

    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {"logits": self.embedding(batch["word"])}


def a_step(sparse: bool, **given: Any) -> torch.Tensor:
    model = Words(sparse)
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    descent = ll.GradientDescent(opt, model, ll.Feed(model, "cpu"), mean_loss, **given)
    step = ll.Step()
    step.batch = {"word": torch.tensor([1, 1, 4]), "target": torch.tensor([0, 1, 2])}
    descent.batch(step)
    return model.embedding.weight.detach()


@pytest.mark.parametrize("limit", [{}, {"max_norm": 1.0}, {"max_value": 1.0}], ids=str)
def test_sparse_gradients_are_refused_in_a_line(limit: dict[str, float]) -> None:
    clip = ll.GradientClipping(**limit)
    with pytest.raises(
        ll.DataError, match=r"of shape \(5, 3\) are sparse, which torch cannot clip"
    ):
        a_step(sparse=True, clip=clip)
    a_step(sparse=False, clip=clip)


def test_the_guard_looks_at_sparse_gradients_too() -> None:
    guard = ll.NonFiniteGuard(gradients=True)
    torch.testing.assert_close(a_step(True, guard=guard), a_step(False, guard=guard))

    def spoils(batch: dict[str, Any], outputs: dict[str, torch.Tensor]) -> torch.Tensor:
        outputs["logits"].register_hook(lambda gradient: gradient * torch.inf)
        return mean_loss(batch, outputs)

    model = Words(sparse=True)
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    descent = ll.GradientDescent(opt, model, ll.Feed(model, "cpu"), spoils, guard)
    step = ll.Step()
    step.batch = {"word": torch.tensor([1, 1, 4]), "target": torch.tensor([0, 1, 2])}
    with pytest.raises(ll.DataError, match=r"gradients are not finite: embedding\.weight"):
        descent.batch(step)
