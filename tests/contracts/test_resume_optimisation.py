"""Killed and resumed with everything of the optimisation on: the same bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

import legoloop as ll
from tests.contracts.attempts import Attempts, Outcome
from tests.contracts.test_resume import Burns, Fuse, Saves
from tests.tiny import Noisy, accuracy, mean_loss, tiny, weights


@pytest.fixture(autouse=True)
def single_threaded() -> None:
    torch.set_num_threads(1)


@dataclass(frozen=True)
class Bricks:
    """Which of them are on."""

    micro_batch_size: int | None = None
    clip: bool = False
    groups: bool = False
    average: bool = False
    freeze: bool = False


ALL = Bricks(micro_batch_size=3, clip=True, groups=True, average=True, freeze=True)
EACH = {
    "micro_batches": Bricks(micro_batch_size=3),
    "clipping": Bricks(clip=True),
    "groups": Bricks(groups=True),
    "average": Bricks(average=True),
    "freeze": Bricks(freeze=True),
    "all": ALL,
    "all but micro_batches": replace(ALL, micro_batch_size=None),
}


@dataclass
class Run(Attempts):
    """With some of the bricks."""

    bricks: Bricks = ALL

    def made(self, fuse: Fuse) -> tuple[ll.TrainingHost, Callable[[], Outcome]]:
        """The fuse burns down at stages, and within a step at each part of a batch."""

        def burning(batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
            fuse.burn()
            return mean_loss(batch, outputs)

        parts, bricks = tiny(num_epochs=3, batch_size=8, dataset=Noisy()), self.bricks
        rule = {"patterns": ["*bias"], "types": ["*Norm*"], "weight_decay": 0.0}
        rules = {"no_decay": rule} if bricks.groups else {}
        parts.opt = torch.optim.AdamW(ll.param_groups(parts.model, **rules), weight_decay=0.1)
        clipping = ll.GradientClipping(max_norm=0.5)
        parts.descent = ll.GradientDescent(
            *(parts.opt, parts.model, parts.feed, burning),
            clip=clipping if bricks.clip else None,
            micro_batch_size=bricks.micro_batch_size,
        )
        average = ll.ExponentialMovingAverage(parts.descent, decay=0.9)
        loops = parts.loops_acc(feed=average if bricks.average else parts.feed)
        sources = [ll.AccumulatorMetrics(loops, accuracy), *[clipping] * bricks.clip]
        history = ll.History(parts.counter, sources)
        rate = torch.optim.lr_scheduler.CosineAnnealingLR(parts.opt, T_max=9)
        freeze = ll.Freeze(
            parts.descent, parts.counter, ["layers.0.*", "layers.1.*"], unfreeze_after_epochs=1
        )
        others = [
            Burns(fuse),
            *(loops, *sources, history, ll.LRScheduler(rate, parts.counter, interval="step")),
            *[average] * bricks.average,
            *[freeze] * bricks.freeze,
            Saves(self.save_every, self.save),
        ]

        def outcome() -> Outcome:
            moments = [v for s in parts.opt.state_dict()["state"].values() for v in s.values()]
            optimizer = b"".join(value.numpy().tobytes() for value in moments)
            return weights(parts.model), optimizer, history.rows

        return parts.host(*others), outcome


@cache
def uninterrupted(name: str, save_every: int = 1) -> tuple[tuple[Any, ...], Run]:
    with TemporaryDirectory() as folder:
        run = Run(Path(folder), save_every, bricks=EACH[name])
        outcome = run.attempt()
        assert outcome is not None
        return outcome, run


def after_kill(name: str, kill: int, save_every: int) -> tuple[Any, ...] | None:
    with TemporaryDirectory() as folder:
        run = Run(Path(folder), save_every, bricks=EACH[name])
        assert run.attempt(kill) is None
        return run.attempt()


def test_each_brick_makes_a_difference_and_windows_have_more_than_one_part() -> None:
    outcomes = {name: uninterrupted(name)[0][0] for name in EACH}
    assert len(set(outcomes.values())) == len(EACH)
    stages = {name: uninterrupted(name)[1].stages for name in ("micro_batches", "clipping")}
    assert stages["micro_batches"] - stages["clipping"] == 3 * (8 - 3)


@pytest.mark.parametrize("kill", [3, 11, 17, 29, 38, 47])
def test_killed_and_resumed_with_all_of_it(kill: int) -> None:
    assert after_kill("all", kill, save_every=2) == uninterrupted("all")[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "save_every"),
    [("all", 1), ("all but micro_batches", 2), *((name, 5) for name in EACH)],
)
def test_killed_after_each_save(name: str, save_every: int) -> None:
    outcome, run = uninterrupted(name, save_every)
    assert outcome == uninterrupted(name)[0]
    for kill in run.kills():
        assert after_kill(name, kill, save_every) == outcome, f"killed at {kill}"
