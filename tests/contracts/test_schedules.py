"""What every public schedule keeps to; that each is torch's own curve is tested with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from legoloop.state.checkpoints import read_checkpoint, write_checkpoint
from legoloop.training.schedules.lr_schedules import rates

Kind = Callable[..., Any]


def to_zero(progress: float, power: float) -> float:
    """A shape of a user's own."""
    return float((1 - progress) ** power)


MADE: dict[Kind, dict[str, Any]] = {
    ll.warmup_constant: {},
    ll.warmup_cosine: {"final_ratio": 0.1},
    ll.warmup_linear: {"final_ratio": 0.1},
    ll.warmup_polynomial: {"final_ratio": 0.1, "power": 3.0},
    ll.warmup_step: {"milestones": [0.3, 0.6], "gamma": 0.5},
    ll.WarmupSchedule: {"shape": to_zero, "power": 0.5},
}
every_schedule = pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)
any_steps = {"steps": st.integers(1, 60), "warmup": st.integers(0, 40)}


def an_optimizer(*lrs: float) -> torch.optim.Optimizer:
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in lrs]
    return torch.optim.SGD(groups, lr=1.0)


def made(kind: Kind, opt: torch.optim.Optimizer, steps: int, warmup: int | float) -> Any:
    return kind(opt, total_steps=steps, warmup_steps=min(warmup, steps), **MADE[kind])


def test_none_is_missing_here() -> None:
    public = {name: getattr(ll, name) for name in ll.__all__}
    torchs = torch.optim.lr_scheduler.LRScheduler
    schedules = {kind for kind in public.values() if isinstance(kind, type)}
    schedules = {kind for kind in schedules if issubclass(kind, torchs)}
    functions = {kind for name, kind in public.items() if name.startswith("warmup_")}
    assert schedules | functions == set(MADE)


@every_schedule
@given(**any_steps)
def test_rises_evenly_to_the_rate_and_never_again(kind: Kind, steps: int, warmup: int) -> None:
    warmup = min(warmup, steps)
    seen = rates(made(kind, an_optimizer(0.3), steps, warmup), steps)
    for step, rate in enumerate(seen[: warmup + 1]):
        assert rate == pytest.approx(0.3 * (step + 1) / (warmup + 1))
    after = seen[warmup:]
    assert after == sorted(after, reverse=True)
    assert all(rate > 0 for rate in seen)


@every_schedule
@given(**any_steps)
def test_stays_where_it_ends(kind: Kind, steps: int, warmup: int) -> None:
    seen = rates(made(kind, an_optimizer(0.3), steps, min(warmup, steps - 1)), steps + 5)
    assert len(set(seen[steps:])) == 1


@every_schedule
@given(**any_steps)
def test_each_group_keeps_its_proportion(kind: Kind, steps: int, warmup: int) -> None:
    both = rates(made(kind, an_optimizer(0.3, 0.01), steps, warmup), steps)
    second = rates(made(kind, an_optimizer(0.01), steps, warmup), steps)
    assert both == pytest.approx([30 * rate for rate in second])


@every_schedule
@pytest.mark.parametrize("moves", [1, 5, 30])
def test_goes_on_from_its_state_at_the_same_rates(kind: Kind, moves: int, tmp_path: Path) -> None:
    def moved(schedule: Any, times: int) -> list[float]:
        seen = []
        for _ in range(times):
            schedule.optimizer.step()
            schedule.step()
            seen.append(schedule.optimizer.param_groups[0]["lr"])
        return seen

    opt = an_optimizer(0.3)
    whole = made(kind, opt, 20, 0.25)
    moved(whole, moves)
    states = {"schedule": whole.state_dict(), "optimizer": opt.state_dict()}
    write_checkpoint(tmp_path / "checkpoint", states)

    read = read_checkpoint(tmp_path / "checkpoint")
    other = an_optimizer(0.3)
    resumed = made(kind, other, 20, 0.25)
    other.load_state_dict(read["optimizer"])
    resumed.load_state_dict(read["schedule"])
    assert moved(resumed, 10) == moved(whole, 10)


@every_schedule
@given(
    samples=st.integers(1, 30),
    batch_size=st.integers(1, 9),
    epoch_size=st.none() | st.integers(1, 40),
)
def test_ends_with_the_last_of_the_total_steps(
    kind: Kind, samples: int, batch_size: int, epoch_size: int | None
) -> None:
    data = ll.ColumnDataset({"x": torch.zeros(samples)})
    loop = ll.BatchStream(data, "train", 0, ll.LoaderConfig(batch_size=batch_size))
    epoch, counter = ll.SimpleEpoch(loop, epoch_size), ll.Counter()
    steps = ll.total_steps(epoch, num_epochs=3)
    schedule = made(kind, an_optimizer(0.3), steps, 0.25)
    moves = ll.LRScheduler(schedule, counter, interval="step")
    schedule.optimizer.step()

    ll.TrainingHost([counter, epoch, moves, ll.LastEpoch(counter, 3)]).run()

    assert counter.steps == steps
    last = rates(made(kind, an_optimizer(0.3), steps, 0.25), steps)[-1]
    assert schedule.optimizer.param_groups[0]["lr"] == last
