"""A step that the gradient scaler left out moves neither a schedule nor an average."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch

import legoloop as ll
from tests.tiny import Tiny, mean_loss, tiny, weights

SCALES = (2.0**19, 2.0**30)
"""With the first, some step in the middle overflows; with the second, the first ones."""


def scaled(init_scale: float, fused: bool) -> Tiny:
    parts = tiny(num_epochs=3)
    parts.opt = torch.optim.Adam(parts.model.parameters(), lr=0.01, fused=fused)
    parts.feed = ll.Feed(parts.model, "cpu", precision="amp_fp16")
    scaler = torch.amp.GradScaler("cpu", init_scale=init_scale, growth_interval=2)
    parts.descent = ll.GradientDescent(parts.opt, parts.model, parts.feed, mean_loss, scaler=scaler)
    return parts


def falling(opt: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.ExponentialLR(opt, gamma=0.9)


def hand_written(init_scale: float, fused: bool) -> tuple[bytes, bytes, list[float], list[bool]]:
    """As torch's documentation says it: what is skipped is told by the scale."""
    parts = scaled(init_scale, fused)
    model, opt, stream = parts.model, parts.opt, parts.loops["train"]
    schedule, scaler = falling(opt), parts.descent.scaler
    average = deepcopy(model).eval()
    assert scaler is not None
    has_steps, rates, left_out = False, [], []
    torch.manual_seed(0)
    model.train()
    for _ in range(18):
        batch, outputs = parts.feed(next(stream))
        rates.append(opt.param_groups[0]["lr"])
        opt.zero_grad()
        scaler.scale(mean_loss(batch, outputs)).backward()  # type: ignore[no-untyped-call]
        scale = scaler.get_scale()
        scaler.step(opt)
        scaler.update()
        left_out.append(scaler.get_scale() < scale)
        if left_out[-1]:
            continue
        schedule.step()
        with torch.no_grad():
            names = {n for n, _ in model.named_parameters()} | {
                n for n, _ in model.named_buffers() if "running_" in n
            }
            for name, new in model.state_dict().items():
                kept = average.state_dict()[name]
                if name in names and has_steps:
                    kept.lerp_(new, 1 - 0.9)
                else:
                    kept.copy_(new)
        has_steps = True
    return weights(model), weights(average), rates, left_out


class Rates:
    def __init__(self, opt: torch.optim.Optimizer) -> None:
        self.opt = opt
        self.seen: list[float] = []

    def batch_end(self, step: ll.Step) -> None:
        self.seen.append(self.opt.param_groups[0]["lr"])


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("init_scale", SCALES)
def test_equals_a_hand_written_loop_bit_for_bit(init_scale: float, fused: bool) -> None:
    parts = scaled(init_scale, fused)
    average = ll.ExponentialMovingAverage(parts.descent, decay=0.9)
    schedule = ll.LRScheduler(falling(parts.opt), parts.counter, interval="step")
    rates = Rates(parts.opt)
    ends: list[bytes] = []

    class AtTheEnd:
        def epoch_end(self) -> None:
            ends[:] = [weights(parts.model), weights(average.model)]

    parts.host(average, schedule, rates, AtTheEnd()).run()

    *expected, expected_rates, left_out = hand_written(init_scale, fused)
    assert any(left_out)
    assert not all(left_out)
    assert ends == expected
    assert rates.seen == expected_rates
    assert (parts.counter.steps, parts.counter.left_out) == (18, sum(left_out))


def test_one_of_two_turns_is_left_out_by_itself() -> None:
    parts = scaled(SCALES[1], fused=False)
    turn = ll.AlternatingDescent(parts.descent, tag="loss/first", every=2)
    step = ll.Step()
    has_stepped = []
    for _ in range(60):
        step.batch, step.size = next(parts.loops["train"]), 4
        turn.batch(step)
        has_stepped.append(turn.has_stepped)
    assert turn.steps == 30
    assert turn.left_out == turn.steps - sum(has_stepped) > 0
    fresh = ll.AlternatingDescent(scaled(1, fused=False).descent, tag="loss/first", every=2)
    state: dict[str, Any] = turn.state_dict()
    fresh.load_state_dict(state)
    assert fresh.left_out == turn.left_out
    state["counts"].pop()
    fresh.load_state_dict(state)
    assert fresh.left_out == 0
