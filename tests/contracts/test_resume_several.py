"""Killed and resumed with turns, several losses, mixed loops, a sampler, mixup: the same bits."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

import legoloop as ll
from tests.contracts.attempts import Attempts, Outcome
from tests.contracts.test_resume import Burns, Fuse, Saves
from tests.tiny import Net, Noisy, columns, mean_loss, tiny, weights


@pytest.fixture(autouse=True)
def single_threaded() -> None:
    torch.set_num_threads(1)


class Balanced(Noisy):
    """Noisy records that tell their classes."""

    def __init__(self) -> None:
        super().__init__()
        self.target = self.columns["target"]


def size_of_logits(batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
    return outputs["logits"].square().mean(dim=1)


class Run(Attempts):
    """With two turns, two losses, two loops, a sampler and mixup."""

    def made(self, fuse: Fuse) -> tuple[ll.TrainingHost, Callable[[], Outcome]]:
        parts = tiny(num_epochs=3)
        second = Net()
        balanced = ll.LoaderConfig(batch_size=8, sampler=ll.ClassBalancedSampler())
        loops = {
            "noisy": ll.BatchStream(Balanced(), "noisy", 0, balanced),
            "plain": ll.BatchStream(
                ll.ColumnDataset(columns(8)), "plain", 0, ll.LoaderConfig(batch_size=4)
            ),
        }
        epoch = ll.SimpleEpoch(ll.MixedStream(loops, {"noisy": 2, "plain": 1}), epoch_size=40)
        losses = ll.WeightedLosses({"name": mean_loss, "size": size_of_logits}, {"size": 0.1})
        turns = [
            ll.AlternatingDescent(
                ll.GradientDescent(opt, model, ll.Feed(model, "cpu"), loss), *place
            )
            for model, opt, loss, place in (
                (parts.model, parts.opt, losses, ("loss/first", 2, 1)),
                (second, torch.optim.Adam(second.parameters()), mean_loss, ("loss/second",)),
            )
        ]
        mixup = ll.Mixup(task="regression", num_outputs=1, input_key="x", alpha=1.0)
        halving = torch.optim.lr_scheduler.ExponentialLR(parts.opt, gamma=0.9)
        history = ll.History(parts.counter, [*turns, losses])
        plugins = [
            *(Burns(fuse), parts.counter, epoch, parts.last, ll.BatchTransform(mixup), losses),
            *(*turns, ll.LRScheduler(halving, turns[0], interval="step"), history),
            *(Saves(self.save_every, self.save), Burns(fuse)),
        ]
        return ll.TrainingHost(plugins), lambda: (
            *(weights(parts.model), weights(second)),
            history.rows,
        )


@cache
def uninterrupted(save_every: int = 1) -> tuple[tuple[Any, ...], Run]:
    with TemporaryDirectory() as folder:
        run = Run(Path(folder), save_every)
        outcome = run.attempt()
        assert outcome is not None
        return outcome, run


def after_kill(kill: int, save_every: int) -> tuple[Any, ...] | None:
    with TemporaryDirectory() as folder:
        run = Run(Path(folder), save_every)
        assert run.attempt(kill) is None
        return run.attempt()


def test_the_run_that_is_compared_with_has_everything_in_it() -> None:
    (*_, rows, _), run = uninterrupted()
    assert len(rows) == 3
    for row in rows.values():
        assert set(row) == {"loss/first", "loss/second", "loss/name", "loss/size"}
    assert run.stages > 60


@pytest.mark.parametrize("kill", [5, 17, 28, 39, 52])
@pytest.mark.parametrize("save_every", [1, 4])
def test_killed_and_resumed(kill: int, save_every: int) -> None:
    assert after_kill(kill, save_every) == uninterrupted()[0]


@pytest.mark.long
def test_killed_after_each_save() -> None:
    outcome, run = uninterrupted(save_every=3)
    assert outcome == uninterrupted()[0]
    for kill in run.kills():
        assert after_kill(kill, save_every=3) == outcome, f"killed at {kill}"
