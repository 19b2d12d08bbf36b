"""``show=lr``: the first steps at growing rates; nothing is written, nothing kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import legoloop as ll
from legoloop.app.show.first_steps import EnoughError
from legoloop.app.show.learning_rate import LEAST, MOST, STEPS, RateTest
from legoloop.app.show.show import show
from legoloop.core.errors import ConfigError
from tests.app.composed import blueprint_of

LEARNS = ("data=xor", "model=mlp", "model.hidden=[16]", "loss=binary_cross_entropy")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(*overrides: str) -> str:
    given = ("show=lr", *LEARNS, "metrics=binary", *overrides)
    return show(blueprint_of(*given), lambda key: None)


def rates_in(text: str) -> tuple[float, float]:
    found = re.search(r"optimizer.lr=(\S+) is where it falls fastest, (\S+) where", text)
    assert found is not None, text
    return float(found[1]), float(found[2])


def test_a_plot_and_a_number_and_nothing_else(here: Path) -> None:
    text = shown("optimizer=adam")
    fastest, least = rates_in(text)
    assert 1e-4 < fastest < 1
    assert fastest <= least <= 10
    first, *plot, _ = text.splitlines()
    assert re.fullmatch(r"the loss, smoothed, of \d+ steps at rates from 1e-07 to \S+", first)
    assert all("|" in line for line in plot)
    assert [*here.iterdir()] == []


def test_the_same_again_and_another_rate_configured_makes_no_difference() -> None:
    assert shown() == shown() == shown("optimizer.lr=7")


def test_what_it_finds_is_in_proportion_to_what_the_optimizer_makes_of_a_rate() -> None:
    """Ten times the loss is ten times the gradient: SGD takes a tenth of the rate."""
    plain, steep = (
        rates_in(shown("optimizer=sgd", "optimizer.momentum=0", f"loss._target_={loss}"))[0]
        for loss in (
            "legoloop.zoo.losses.BinaryCrossEntropy",
            "tests.app.show.test_learning_rate.Tenfold",
        )
    )
    assert 3 < plain / steep < 30


class Tenfold(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        from legoloop.zoo.losses import BinaryCrossEntropy

        self.loss = BinaryCrossEntropy()

    def forward(self, batch: ll.Step, outputs: ll.Step) -> torch.Tensor:
        return 10 * self.loss(batch, outputs)


def test_schedules_limits_and_writers_take_no_part(here: Path) -> None:
    plain = shown()
    assert plain == shown("scheduler=warmup_cosine", "num_epochs=1", "epoch_size=8", "profile=true")
    assert [*here.iterdir()] == []


def test_what_makes_a_step_takes_part() -> None:
    frozen = shown("plugins=[default,freeze]", "plugins.freeze.patterns=[layers.*]")
    assert frozen != shown()


def test_rates_grow_by_a_factor_and_groups_keep_their_proportions() -> None:
    weights = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    opt = torch.optim.SGD([{"params": weights[:1]}, {"params": weights[1:], "lr": 0.05}], lr=0.5)
    test, step, seen = RateTest(opt), ll.Step(), []
    step.loss, step.size = torch.ones(()), 1
    for _ in range(STEPS - 1):
        test.batch_start(step)
        seen.append([group["lr"] for group in opt.param_groups])
        test.batch_end(step)
    with pytest.raises(EnoughError):
        test.batch_end(step)
    assert [rate for rate, _ in seen] == pytest.approx(
        [LEAST * (MOST / LEAST) ** (n / 99) for n in range(STEPS - 1)]
    )
    assert all(second == pytest.approx(first / 10) for first, second in seen)


@pytest.mark.parametrize("loss", [float("nan"), 1e9])
def test_a_loss_that_goes_astray_ends_it(loss: float) -> None:
    test, step = RateTest(torch.optim.SGD([torch.zeros(1, requires_grad=True)])), ll.Step()
    step.loss, step.size = torch.ones(()), 1
    for _ in range(20):
        test.batch_start(step)
        test.batch_end(step)
    step.loss = torch.tensor(loss)
    with pytest.raises(EnoughError):
        test.batch_end(step)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("plugins.epoch=null",), "show: there are no steps: no plugin drives the epochs"),
        (
            ("loss._target_=tests.app.show.test_learning_rate.Flat",),
            "show: the loss falls at no rate from 1e-07 to 10",
        ),
        (
            ("loss._target_=tests.app.show.test_learning_rate.Nowhere",),
            "show: no step can be made: step 1: the loss is nan",
        ),
    ],
)
def test_what_cannot_be_measured_is_told(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        shown(*overrides)
    assert str(refused.value).startswith(message)


def test_without_an_optimizer_there_is_no_rate() -> None:
    without = ("~optimizer", "~loss", "plugins.descent=null", "plugins.learning_rate=null")
    with pytest.raises(ConfigError, match="there is no rate: the run has no optimizer of this"):
        show(blueprint_of("show=lr", "data=xor", "model=mlp", *without), lambda key: None)


class Flat(torch.nn.Module):
    def forward(self, batch: ll.Step, outputs: ll.Step) -> torch.Tensor:
        return 0 * outputs["logits"].mean() + 1  # type: ignore[index]


class Nowhere(torch.nn.Module):
    def forward(self, batch: ll.Step, outputs: ll.Step) -> torch.Tensor:
        return outputs["logits"].mean() * float("nan")  # type: ignore[index]
