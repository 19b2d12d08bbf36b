from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from torch import nn

import legoloop as ll
from tests.tiny import columns, mean_loss

needs_a_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="torch compiles with g++, which is not installed"
)


class Plain(nn.Module):
    def __init__(self, depth: int = 1) -> None:
        super().__init__()
        hidden = [layer for _ in range(depth - 1) for layer in (nn.Linear(8, 8), nn.ReLU())]
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), *hidden, nn.Linear(8, 3))

    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {"logits": self.layers(batch["x"])}


def weighted() -> ll.WeightedLosses:
    def large(batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
        return outputs["logits"].square().mean(1)

    losses = ll.WeightedLosses({"right": mean_loss, "large": large}, weights={"large": 0.1})
    losses.train_start()
    return losses


def trained(
    compile: bool | str, loss: Any = mean_loss, depth: int = 1
) -> tuple[list[float], ll.Step]:
    torch.manual_seed(0)
    model = Plain(depth)
    descent = ll.GradientDescent(
        torch.optim.SGD(model.parameters(), lr=0.1),
        model,
        ll.Feed(model, "cpu"),
        loss,
        compile=compile,
    )
    step, losses = ll.Step(), []
    for samples in (22, 22, 7, 22, 5, 1):
        step.batch, step.size = {**columns(samples), "idx": ["a"] * samples}, samples
        descent.batch(step)
        assert step.loss_value is not None
        losses.append(step.loss_value)
        if isinstance(loss, ll.WeightedLosses):
            loss.batch_end(step)
    return losses, step


@needs_a_compiler
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own
def test_compiled_it_learns_the_same_up_to_rounding_whatever_the_size_of_a_batch() -> None:
    plain, _ = trained(compile=False)
    fast, step = trained(compile=True)

    assert fast == pytest.approx(plain, rel=1e-4)
    assert step.batch["idx"] == ["a"]
    assert step.outputs["logits"].shape == (1, 3)


@needs_a_compiler
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own
def test_several_losses_are_compiled_and_told_apart() -> None:
    told, compiled = weighted(), weighted()
    plain, _ = trained(compile=False, loss=told)
    fast, _ = trained(compile=True, loss=compiled)

    assert fast == pytest.approx(plain, rel=1e-4)
    assert told.scalars().keys() == {"loss/right", "loss/large"}
    assert compiled.scalars() == pytest.approx(told.scalars(), rel=1e-4)


@needs_a_compiler
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own
def test_a_later_model_of_the_process_is_compiled_too() -> None:
    import torch._dynamo.config as limits

    with limits.patch(recompile_limit=3, fail_on_recompile_limit_hit=True):
        for depth in (1, 2, 3):
            trained(compile=True, depth=depth)


def test_a_mode_that_is_none_is_refused() -> None:
    with pytest.raises(ll.ArgumentError, match="compile is 'fast'; give true, false, or one of"):
        trained(compile="fast")


@pytest.mark.parametrize("mode", ["reduce-overhead", "max-autotune"])
def test_gradients_that_are_added_up_cannot_be_overwritten(mode: str) -> None:
    model = Plain()
    with pytest.raises(ll.ArgumentError, match="micro_batch_size adds them up; give compile=true"):
        ll.GradientDescent(
            torch.optim.SGD(model.parameters(), lr=0.1),
            model,
            ll.Feed(model, "cpu"),
            mean_loss,
            compile=mode,
            micro_batch_size=2,
        )


def test_a_feed_of_ones_own_cannot_be_compiled() -> None:
    model = Plain()
    with pytest.raises(ll.ArgumentError, match=r"takes a legoloop\.Feed; the feed is a function"):
        ll.GradientDescent(
            torch.optim.SGD(model.parameters(), lr=0.1),
            model,
            lambda batch: (batch, model(batch)),
            mean_loss,
            compile=True,
        )
