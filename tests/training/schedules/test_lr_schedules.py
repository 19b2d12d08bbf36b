"""Each schedule is torch's own, or its closed form, at every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import cos, pi
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler as torchs

import legoloop as ll
from legoloop.state.checkpoints import read_checkpoint, write_checkpoint
from legoloop.training.schedules.lr_schedules import WarmupSchedule, rates
from tests.tiny import tiny, weights

Optimizer = torch.optim.Optimizer


def an_optimizer(*lrs: float) -> Optimizer:
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in lrs or (0.3,)]
    return torch.optim.SGD(groups, lr=1.0)


AFTER: dict[str, tuple[Callable[..., WarmupSchedule], Callable[[Optimizer, int], Any]]] = {
    "constant": (ll.warmup_constant, lambda opt, left: torchs.ConstantLR(opt, factor=1.0)),
    "linear": (
        lambda *given: ll.warmup_linear(*given, final_ratio=0.2),
        lambda opt, left: torchs.LinearLR(opt, 1.0, end_factor=0.2, total_iters=left),
    ),
    "cosine": (
        lambda *given: ll.warmup_cosine(*given, final_ratio=0.1),
        lambda opt, left: torchs.CosineAnnealingLR(opt, T_max=left, eta_min=0.03),
    ),
    "polynomial": (
        lambda *given: ll.warmup_polynomial(*given, power=3.0),
        lambda opt, left: torchs.PolynomialLR(opt, total_iters=left, power=3.0),
    ),
    "step": (
        lambda *given: ll.warmup_step(*given, milestones=[0.5, 0.75], gamma=0.1),
        lambda opt, left: torchs.MultiStepLR(opt, [left // 2, left * 3 // 4], gamma=0.1),
    ),
}


@pytest.mark.parametrize("warmup", [0, 1, 5])
@pytest.mark.parametrize("name", AFTER)
def test_is_torchs_own_warmed_up_by_torch(name: str, warmup: int) -> None:
    ours, theirs = AFTER[name]
    left = 16
    seen = rates(ours(an_optimizer(), left + warmup, warmup), left + warmup)

    opt = an_optimizer()
    rising = torchs.LinearLR(opt, 1 / (warmup + 1), total_iters=max(warmup, 1))
    rise = rates(rising, warmup)
    fall = rates(theirs(an_optimizer(), left), left)

    assert seen == pytest.approx([*rise, *fall], rel=1e-12)


@given(steps=st.integers(1, 60), warmup=st.integers(0, 80), end=st.floats(0, 1))
def test_the_closed_form_of_a_cosine(steps: int, warmup: int, end: float) -> None:
    seen = rates(ll.warmup_cosine(an_optimizer(0.3), steps, warmup, end), steps)
    for step, rate in enumerate(seen):
        if step < warmup:
            assert rate == pytest.approx(0.3 * (step + 1) / (warmup + 1))
        else:
            half = (1 + cos(pi * (step - warmup) / (steps - warmup))) / 2
            assert rate == pytest.approx(0.3 * (end + (1 - end) * half))


@pytest.mark.parametrize(("share", "number"), [(0.0, 0), (0.1, 4), (0.25, 10), (0.99, 40)])
def test_a_share_of_all_steps_is_so_many(share: float, number: int) -> None:
    by_share = rates(ll.warmup_linear(an_optimizer(), 40, share), 40)
    assert by_share == rates(ll.warmup_linear(an_optimizer(), 40, number), 40)


def test_each_group_keeps_its_proportion() -> None:
    opt = an_optimizer(0.1, 0.01)
    schedule = ll.warmup_cosine(opt, 20, 4)
    for _ in range(20):
        large, small = (group["lr"] for group in opt.param_groups)
        assert large == pytest.approx(10 * small)
        opt.step()
        schedule.step()


def test_stays_at_its_end_when_the_training_goes_on() -> None:
    assert rates(ll.warmup_cosine(an_optimizer(1.0), 4, 0, final_ratio=0.5), 7)[4:] == [0.5] * 3


def test_a_warm_up_longer_than_the_training_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    assert rates(ll.warmup_constant(an_optimizer(1.0), 2, 3), 2) == [0.25, 0.5]
    assert "warmup_steps is 3, but the training has 2 steps in all" in caplog.text


@pytest.mark.parametrize(
    ("made", "given", "message"),
    [
        (
            ll.warmup_constant,
            {"warmup_steps": 1.5},
            "warmup_steps is 1.5; give a number of steps, or",
        ),
        (ll.warmup_constant, {"warmup_steps": -1}, "warmup_steps is -1; give"),
        (ll.warmup_constant, {"warmup_steps": True}, "warmup_steps is True; give"),
        (
            ll.warmup_constant,
            {"total_steps": -1},
            "total_steps is -1; give a whole number of at least 0",
        ),
        (ll.warmup_cosine, {"final_ratio": 2.0}, "final_ratio is 2.0; give a number from 0 to 1"),
        (ll.warmup_polynomial, {"power": 0.0}, "power is 0.0; give a number above 0"),
        (
            ll.warmup_step,
            {"milestones": [0.5, 30]},
            r"milestones\[1\] is 30; give a number from 0 to 1",
        ),
    ],
)
def test_refuses_values_out_of_range(
    made: Callable[..., WarmupSchedule], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ll.ArgumentError, match=message):
        made(**{"optimizer": an_optimizer(), "total_steps": 10, **given})


def test_its_state_is_plain_values() -> None:
    schedule = ll.warmup_step(an_optimizer(), 10, milestones=[0.3], gamma=0.5)
    state = schedule.state_dict()
    assert state["parameters"] == {"milestones": [0.3], "gamma": 0.5}
    assert not any(callable(value) for value in state.values())


# ---- the number of steps


def an_epoch(samples: int, batch_size: int, epoch_size: int | None) -> ll.SimpleEpoch:
    dataset = ll.ColumnDataset({"x": torch.arange(samples)})
    loop = ll.BatchStream(dataset, "train", 0, ll.LoaderConfig(batch_size=batch_size))
    return ll.SimpleEpoch(loop, epoch_size)


@given(
    samples=st.integers(1, 30),
    batch_size=st.integers(1, 40),
    epoch_size=st.none() | st.integers(1, 90),
    num_epochs=st.integers(0, 5),
)
def test_the_lengths_of_epochs_are_those_that_are_run(
    samples: int, batch_size: int, epoch_size: int | None, num_epochs: int
) -> None:
    told = an_epoch(samples, batch_size, epoch_size)
    lengths = told.lengths(num_epochs)

    run = an_epoch(samples, batch_size, epoch_size)
    seen = []
    for _ in range(num_epochs):
        run.epoch_start()
        seen.append(sum(1 for _ in run.batches()))

    assert lengths == seen
    assert told.state_dict() == an_epoch(samples, batch_size, epoch_size).state_dict()
    assert ll.total_steps(told, num_epochs) == sum(seen)


@given(
    samples=st.integers(1, 30),
    batch_size=st.integers(1, 40),
    limit=st.integers(0, 90),
    by=st.sampled_from(["num_steps", "num_samples"]),
)
def test_the_steps_up_to_a_limit_are_those_that_are_made(
    samples: int, batch_size: int, limit: int, by: str
) -> None:
    epoch, counter = an_epoch(samples, batch_size, 10), ll.Counter()
    expected = ll.total_steps(epoch, 3, **{by: limit})
    end = ll.LastStep(counter, limit) if by == "num_steps" else ll.LastSample(counter, limit)
    ll.TrainingHost([epoch, counter, ll.LastEpoch(counter, 3), end]).run()
    assert counter.steps == expected


def test_an_epoch_that_cannot_tell_says_so() -> None:
    class OwnDriver:
        def batches(self) -> Iterator[Any]:
            yield from ()

    unknown = ll.SimpleEpoch(iter([]), epoch_size=3)
    with pytest.raises(ll.ArgumentError, match="a list_iterator, has no num_batches_for"):
        ll.total_steps(unknown, 1)
    with pytest.raises(ll.ArgumentError, match="epoch is a OwnDriver, which has no method lengths"):
        ll.total_steps(OwnDriver(), 1)  # type: ignore[arg-type]
    loop = ll.BatchStream(ll.ColumnDataset({"x": torch.arange(4)}), "train", 0, ll.LoaderConfig())
    by_token = ll.SimpleEpoch(loop, epoch_size=70, batch_desc=lambda batch: 7)
    with pytest.raises(ll.ArgumentError, match="a function sizes them; give the number of steps"):
        ll.total_steps(by_token, 1)


# ---- resumed in mid-epoch

RESUMED: dict[str, Callable[[Optimizer, int], Any]] = {
    **{
        name: lambda opt, steps, made=made: made(opt, steps, 3) for name, (made, _) in AFTER.items()
    },
    "one cycle": lambda opt, steps: torchs.OneCycleLR(opt, max_lr=0.1, total_steps=steps),
    "any of torch's": lambda opt, steps: torchs.CyclicLR(
        opt, 0.001, 0.1, step_size_up=4, cycle_momentum=False
    ),
}


class Rates:
    """Notes the rate at which each step is made, and saves after one of them."""

    def __init__(self, opt: Optimizer, save_at: int | None = None) -> None:
        self.opt = opt
        self.save_at = save_at
        self.seen: list[float] = []
        self.saved: dict[str, Any] | None = None

    def batch_end(self, step: ll.Step) -> ll.ShouldSave | None:
        self.seen.append(self.opt.param_groups[0]["lr"])
        return ll.ShouldSave(self._save) if len(self.seen) == self.save_at else None

    def _save(self, state: dict[str, Any]) -> None:
        self.saved = state
        raise KeyboardInterrupt


@pytest.mark.parametrize("save_at", [2, 3, 8])
@pytest.mark.parametrize("name", RESUMED)
def test_goes_on_in_mid_epoch_bit_by_bit(name: str, save_at: int, tmp_path: Any) -> None:
    def a_run(save_at: int | None = None) -> tuple[Any, ll.TrainingHost, Rates]:
        parts = tiny(num_epochs=2)
        steps = ll.total_steps(parts.epoch, 2)
        schedule = ll.LRScheduler(RESUMED[name](parts.opt, steps), parts.counter, interval="step")
        noted = Rates(parts.opt, save_at)
        return parts, parts.host(schedule, noted), noted

    whole, host, expected = a_run()
    host.run()
    _, broken, before = a_run(save_at)
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    assert before.saved is not None
    write_checkpoint(tmp_path / "checkpoint", before.saved)
    resumed, host, after = a_run()
    host.load_state_dict(read_checkpoint(tmp_path / "checkpoint"))
    host.run()

    assert before.seen + after.seen == expected.seen
    assert weights(resumed.model) == weights(whole.model)
