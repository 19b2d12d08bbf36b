from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
import torch
from torch.optim import lr_scheduler

import legoloop as ll
from tests.tiny import mean_loss, tiny, weights

Scheduler = lr_scheduler.LRScheduler
EPOCHS, STEPS_AN_EPOCH = 3, 6
MADE: dict[str, Callable[[torch.optim.Optimizer], Scheduler]] = {
    "StepLR": lambda opt: lr_scheduler.StepLR(opt, step_size=2, gamma=0.5),
    "CosineAnnealingLR": lambda opt: lr_scheduler.CosineAnnealingLR(opt, T_max=7),
    "OneCycleLR": lambda opt: lr_scheduler.OneCycleLR(
        opt, max_lr=0.1, total_steps=EPOCHS * STEPS_AN_EPOCH
    ),
}


class Rates:
    """Notes the rate at which each step is made."""

    def __init__(self, opt: torch.optim.Optimizer) -> None:
        self.opt = opt
        self.seen: list[float] = []

    def batch_end(self, step: ll.Step) -> None:
        self.seen.append(self.opt.param_groups[0]["lr"])


def hand_written(name: str, per: str) -> tuple[list[float], bytes]:
    parts = tiny(num_epochs=0)
    model, opt = parts.model, parts.opt
    scheduler = MADE[name](opt)
    torch.manual_seed(0)
    model.train()
    rates = []
    for _ in range(EPOCHS):
        for _ in range(STEPS_AN_EPOCH):
            batch = next(parts.loops["train"])
            opt.zero_grad()
            mean_loss(batch, model(batch)).backward()
            opt.step()
            rates.append(opt.param_groups[0]["lr"])
            if per == "step":
                scheduler.step()
        if per == "epoch":
            scheduler.step()
    return rates, weights(model)


@pytest.mark.parametrize("per", ["step", "epoch"])
@pytest.mark.parametrize("name", MADE)
def test_gives_the_rates_and_weights_of_a_hand_written_loop(
    name: str, per: Literal["step", "epoch"]
) -> None:
    parts = tiny(num_epochs=EPOCHS)
    schedule = ll.LrScheduler(MADE[name](parts.opt), parts.counter, per)
    rates = Rates(parts.opt)

    trained = parts.trained(schedule, rates)

    expected_rates, expected_weights = hand_written(name, per)
    assert rates.seen == expected_rates
    assert len(set(rates.seen)) > 1
    assert trained == expected_weights


@pytest.mark.parametrize("per", ["step", "epoch"])
def test_goes_on_from_its_state_without_a_warning(per: Literal["step", "epoch"]) -> None:
    def a_run(num_epochs: int) -> tuple[ll.TrainingHost, Rates]:
        parts = tiny(num_epochs=num_epochs)
        schedule = ll.LrScheduler(MADE["CosineAnnealingLR"](parts.opt), parts.counter, per)
        rates = Rates(parts.opt)
        return parts.host(schedule, rates), rates

    whole, expected = a_run(3)
    whole.run()
    first, before = a_run(1)
    first.run()
    second, after = a_run(3)
    second.load_state_dict({**first.state_dict(), "stop_reason": None})
    second.run()

    assert before.seen + after.seen == expected.seen


def test_refuses_another_unit() -> None:
    parts = tiny()
    with pytest.raises(ll.ArgumentError, match="per is 'batch'; give 'step' or 'epoch'"):
        ll.LrScheduler(MADE["StepLR"](parts.opt), parts.counter, per="batch")  # type: ignore[arg-type]


def test_refuses_a_scheduler_that_wants_a_metric() -> None:
    parts = tiny()
    with pytest.raises(ll.ArgumentError, match="ReduceLROnPlateau wants a metric"):
        ll.LrScheduler(lr_scheduler.ReduceLROnPlateau(parts.opt), parts.counter)


def test_reports_one_rate_or_one_a_group() -> None:
    groups = [{"params": [torch.zeros(1)], "lr": rate} for rate in (0.1, 0.2)]

    assert ll.LearningRate(torch.optim.SGD(groups[:1], lr=1.0)).scalars() == {"lr": 0.1}
    assert ll.LearningRate(torch.optim.SGD(groups, lr=1.0)).scalars() == {"lr/0": 0.1, "lr/1": 0.2}


def test_reports_the_rate_the_epoch_was_trained_at() -> None:
    parts = tiny(num_epochs=2)
    schedule = ll.LrScheduler(lr_scheduler.StepLR(parts.opt, 1, gamma=0.5), parts.counter)
    history = ll.History(parts.counter, ll.LearningRate(parts.opt))

    parts.trained(schedule, history)

    assert history.rows == {6: {"lr": 0.01}, 12: {"lr": 0.005}}
