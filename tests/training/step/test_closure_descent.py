from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import legoloop as ll
from tests.faults.outcomes import digest
from tests.tiny import Tiny, mean_loss, sample_losses, tiny, weights


class Sam(torch.optim.Optimizer):
    """Sharpness-aware minimization: the gradient at the worst weights nearby, as is usual.

    It takes the gradients at the weights as they are for granted, and steps an optimizer of its
    own, whose state its own state does not have.
    """

    def __init__(self, params: Any, rho: float = 0.05, **given: Any) -> None:
        super().__init__(params, {"rho": rho, **given})
        self.base = torch.optim.SGD(self.param_groups, **given)
        self.param_groups = self.base.param_groups

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        climbed = []
        norm = torch.stack([w.grad.norm() for w in self.weights()]).norm()
        for weight in self.weights():
            climb = weight.grad * (self.param_groups[0]["rho"] / norm)
            weight.add_(climb)
            climbed.append(climb)
        loss = closure()
        for weight, climb in zip(self.weights(), climbed, strict=True):
            weight.sub_(climb)
        self.base.step()
        return loss

    def weights(self) -> list[Any]:
        return [weight for group in self.param_groups for weight in group["params"]]


def lbfgs(parts: Tiny) -> torch.optim.Optimizer:
    return torch.optim.LBFGS(parts.model.parameters(), lr=0.1, max_iter=4)


def searching(parts: Tiny) -> torch.optim.Optimizer:
    return torch.optim.LBFGS(parts.model.parameters(), max_iter=4, line_search_fn="strong_wolfe")


def adam(parts: Tiny) -> torch.optim.Optimizer:
    return torch.optim.Adam(parts.model.parameters(), lr=0.01)


def sam(parts: Tiny) -> torch.optim.Optimizer:
    return Sam(parts.model.parameters(), lr=0.05, momentum=0.9)


Make = Callable[[Tiny], torch.optim.Optimizer]


def closing(make: Make, loss: Any = mean_loss, **given: Any) -> Tiny:
    """A tiny run, whose model has batch norm and dropout."""
    parts = tiny(num_epochs=3)
    parts.opt = make(parts)
    parts.descent = ll.ClosureDescent(
        *(parts.opt, parts.model, parts.feed, loss), gradients_first=make is sam, **given
    )
    return parts


def hand_written(make: Make, clip: float | None = None) -> tuple[bytes, int]:
    parts = tiny(num_epochs=0)
    stream, model, opt = parts.loops["train"], parts.model, make(parts)
    evaluations = 0
    torch.manual_seed(0)
    model.train()
    for _ in range(18):
        batch = next(stream)

        def closure(batch: Any = batch) -> Any:
            nonlocal evaluations
            evaluations += 1
            with torch.enable_grad():
                opt.zero_grad()
                loss = mean_loss(batch, model(batch))
                loss.backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            return loss

        if make is sam:
            closure()
        opt.step(closure)
    return weights(model), evaluations


@pytest.mark.parametrize("make", [lbfgs, searching, adam, sam])
def test_equals_a_hand_written_loop_bit_for_bit(make: Make) -> None:
    parts = closing(make)
    expected, evaluations = hand_written(make)
    assert parts.trained() == expected
    assert parts.descent.evaluations == evaluations  # type: ignore[attr-defined]
    assert (evaluations > 18) == (make is not adam)


@pytest.mark.parametrize("make", [lbfgs, sam])
def test_gradients_of_every_evaluation_are_clipped(make: Make) -> None:
    clip = ll.GradientClipping(max_norm=0.1)
    assert closing(make, clip=clip).trained(clip) == hand_written(make, clip=0.1)[0]
    assert hand_written(make, clip=0.1) != hand_written(make)


class Plain(nn.Module):
    """Without batch norm and dropout, so that micro-batches make the same step."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(4, 3)

    def forward(self, batch: Any) -> Any:
        return {"logits": self.line(batch["x"])}


@pytest.mark.parametrize("make", [searching, sam])
def test_micro_batches_make_the_same_step(make: Make) -> None:
    ends = []
    for size in (None, 3):
        parts = tiny()
        parts.model = Plain()
        parts.feed = ll.Feed(parts.model, "cpu")
        descent = ll.ClosureDescent(
            *(make(parts), parts.model, parts.feed, mean_loss),
            micro_batch_size=size,
            gradients_first=make is sam,
        )
        step = ll.Step()
        step.batch = next(parts.loops["train"])
        descent.batch(step)
        assert len(step.outputs["logits"]) == 4
        ends.append([parts.model.line.weight.detach(), step.loss])
    for whole, parted in zip(*ends, strict=True):
        torch.testing.assert_close(whole, parted)
    assert not torch.equal(ends[0][0], tiny_line())


@pytest.mark.parametrize("make", [searching, sam])
def test_every_evaluation_is_cut_into_the_same_micro_batches(make: Make) -> None:
    parts = tiny()
    seen: list[list[int]] = []
    parts.model = Plain()

    def feed(batch: Any) -> Any:
        seen.append(batch["idx"].tolist())
        return batch, parts.model(batch)

    opt = make(parts)
    descent = ll.ClosureDescent(opt, parts.model, feed, sample_losses, micro_batch_size=3)
    step = ll.Step()
    step.batch = next(parts.loops["train"])
    whole = step.batch["idx"].tolist()
    descent.gradients_first = make is sam
    descent.batch(step)
    assert descent.evaluations > 1
    assert seen == [whole[:3], whole[3:]] * descent.evaluations
    assert ll.DefaultBatchDesc()(step.batch) == len(whole) == 4


def tiny_line() -> torch.Tensor:
    tiny()
    return Plain().line.weight.detach()


def test_the_step_tells_of_the_weights_that_it_began_with() -> None:
    parts = closing(searching)
    parts.model.eval()
    step = ll.Step()
    step.batch, step.size = next(parts.loops["train"]), 4
    with torch.no_grad():
        before = mean_loss(step.batch, parts.model(step.batch))

    parts.descent.batch(step)

    assert torch.equal(step.loss, before)
    assert step.loss_float == before.item()
    assert not step.loss.requires_grad


class Poisoned:
    """A loss that is nan at one call."""

    def __init__(self, call: int) -> None:
        self.call = call
        self.calls = 0

    def __call__(self, batch: Any, outputs: Any) -> torch.Tensor:
        self.calls += 1
        loss = mean_loss(batch, outputs)
        return loss * float("nan") if self.calls == self.call else loss


@pytest.mark.parametrize("make", [lbfgs, searching, sam])
@pytest.mark.parametrize("call", [1, 2])
def test_a_skipped_step_leaves_everything_as_it_was(make: Make, call: int) -> None:
    poisoned = Poisoned(call=10_000)
    parts = closing(make, poisoned, guard=ll.NonFiniteGuard("skip"))
    step = ll.Step()
    for _ in range(2):
        step.batch, step.size = next(parts.loops["train"]), 4
        parts.descent.batch(step)
    before = parts.descent.state_dict()
    kept = weights(parts.model), digest(before["opt"])
    poisoned.call = poisoned.calls + call

    parts.descent.batch(step)

    assert (step.size, step.loss_float) == (0, 0.0)
    assert (weights(parts.model), digest(parts.descent.state_dict()["opt"])) == kept
    step.batch, step.size = next(parts.loops["train"]), 4
    parts.descent.batch(step)
    assert step.size == 4
    assert weights(parts.model) != kept[0]


@pytest.mark.parametrize("call", [1, 3])
def test_a_loss_that_is_not_finite_stops_the_run(call: int) -> None:
    with pytest.raises(ll.DataError, match="loss is nan"):
        closing(searching, Poisoned(call)).trained()


def test_an_optimizer_that_evaluates_the_loss_itself_is_told_of_it_by_a_signature() -> None:
    class Asks(torch.optim.SGD):
        def step(self, closure: Any) -> Any:  # type: ignore[override]
            return super().step(closure)

    parts = tiny()
    opt = Asks(parts.model.parameters(), lr=0.1)
    with pytest.raises(ll.ArgumentError, match="opt is of class Asks, which evaluates the loss"):
        ll.GradientDescent(opt, parts.model, parts.feed, mean_loss)
    ll.ClosureDescent(opt, parts.model, parts.feed, mean_loss)


def test_what_cannot_go_along_is_refused() -> None:
    with pytest.raises(ll.ArgumentError, match="scaler scales gradients"):
        closing(lbfgs, scaler=torch.amp.GradScaler("cpu"))
    with pytest.raises(ll.ArgumentError, match="compile is 'max-autotune'"):
        closing(lbfgs, compile="max-autotune")
