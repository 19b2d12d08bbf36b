from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch.optim import lr_scheduler

import legoloop as ll
from legoloop.state.checkpoints import read_checkpoint, write_checkpoint
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
    schedule = ll.LRScheduler(MADE[name](parts.opt), parts.counter, per)
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
        schedule = ll.LRScheduler(MADE["CosineAnnealingLR"](parts.opt), parts.counter, per)
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
    with pytest.raises(ll.ArgumentError, match="interval is 'batch'; give 'step' or 'epoch'"):
        ll.LRScheduler(MADE["StepLR"](parts.opt), parts.counter, interval="batch")  # type: ignore[arg-type]


def test_refuses_a_scheduler_that_wants_a_metric() -> None:
    parts = tiny()
    with pytest.raises(ll.ArgumentError, match="ReduceLROnPlateau needs a metric"):
        ll.LRScheduler(lr_scheduler.ReduceLROnPlateau(parts.opt), parts.counter)


def test_reports_one_rate_or_one_a_group() -> None:
    groups = [{"params": [torch.zeros(1)], "lr": rate} for rate in (0.1, 0.2)]

    assert ll.LearningRateMonitor(torch.optim.SGD(groups[:1], lr=1.0)).scalars() == {"lr": 0.1}
    assert ll.LearningRateMonitor(torch.optim.SGD(groups, lr=1.0)).scalars() == {
        "lr/0": 0.1,
        "lr/1": 0.2,
    }


def test_reports_the_rate_the_epoch_was_trained_at() -> None:
    parts = tiny(num_epochs=2)
    schedule = ll.LRScheduler(lr_scheduler.StepLR(parts.opt, 1, gamma=0.5), parts.counter)
    history = ll.History(parts.counter, ll.LearningRateMonitor(parts.opt))

    parts.trained(schedule, history)

    assert history.rows == {6: {"lr": 0.01}, 12: {"lr": 0.005}}


class Told:
    """A source that tells the given values, one an epoch."""

    def __init__(self, *values: float) -> None:
        self.values = values
        self.epochs = 0

    def epoch_end(self) -> None:
        self.epochs += 1

    def scalars(self) -> dict[str, float]:
        return {"val/loss": self.values[self.epochs - 1]}

    def state_dict(self) -> dict[str, int]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epochs = state["epochs"]


def a_plateau(opt: torch.optim.Optimizer) -> lr_scheduler.ReduceLROnPlateau:
    return lr_scheduler.ReduceLROnPlateau(opt, factor=0.5, patience=1, threshold=0.0)


STUCK = (3.0, 2.0, 2.0, 2.0, 2.5, float("nan"), 1.0)


def test_a_plateau_gives_the_rates_of_a_hand_written_loop() -> None:
    parts, told = tiny(num_epochs=len(STUCK)), Told(*STUCK)
    rates = Rates(parts.opt)
    parts.trained(told, ll.ReduceLROnPlateauPlugin(a_plateau(parts.opt), told, "val/loss"), rates)

    opt = tiny().opt
    scheduler, expected = a_plateau(opt), []
    for value in STUCK:
        expected += [opt.param_groups[0]["lr"]] * STEPS_AN_EPOCH
        scheduler.step(value)

    assert rates.seen == expected
    assert sorted(set(rates.seen)) == [0.0025, 0.005, 0.01]


@pytest.mark.parametrize("save_at", [6, 18, 21, 24])
def test_a_plateau_goes_on_from_its_state(save_at: int, tmp_path: Path) -> None:
    class Cuts:
        after = ("ReduceLROnPlateauPlugin",)
        steps = 0
        saved: dict[str, Any] | None = None

        def batch_end(self, step: ll.Step) -> ll.ShouldSave | None:
            self.steps += 1
            return ll.ShouldSave(self.cut) if self.steps == save_at - 1 else None

        def epoch_end(self) -> ll.ShouldSave | None:
            return ll.ShouldSave(self.cut) if self.steps == save_at else None

        def cut(self, state: dict[str, Any]) -> None:
            self.saved = state
            raise KeyboardInterrupt

    def a_run(*others: object) -> tuple[bytes, list[float]]:
        parts, told = tiny(num_epochs=len(STUCK)), Told(*STUCK)
        rates = Rates(parts.opt)
        plateau = ll.ReduceLROnPlateauPlugin(a_plateau(parts.opt), told, "val/loss")
        host = parts.host(told, plateau, rates, *others)
        if cuts.saved is not None:
            write_checkpoint(tmp_path / "checkpoint", cuts.saved)
            host.load_state_dict(read_checkpoint(tmp_path / "checkpoint"))
        host.run()
        return weights(parts.model), rates.seen

    cuts = Cuts()
    whole, expected = a_run()
    with pytest.raises(KeyboardInterrupt):
        a_run(cuts)
    resumed, seen = a_run()

    assert seen == expected[-len(seen) :]
    assert resumed == whole


def test_a_plateau_refuses_another_scheduler_and_the_wrong_way() -> None:
    opt = tiny().opt
    with pytest.raises(ll.ArgumentError, match="scheduler is a StepLR, which needs no metric"):
        ll.ReduceLROnPlateauPlugin(MADE["StepLR"](opt), Told(), "val/loss")  # type: ignore[arg-type]
    with pytest.raises(
        ll.ArgumentError, match=r"metric is 'val/accuracy', but .* give the scheduler mode=max"
    ):
        ll.ReduceLROnPlateauPlugin(a_plateau(opt), Told(), "val/accuracy")
    plateau = ll.ReduceLROnPlateauPlugin(a_plateau(opt), Told(1.0), "val/los")
    with pytest.raises(
        ll.ArgumentError, match=r"plateau monitors 'val/los'.*did you mean val/loss"
    ):
        plateau.epoch_end()
