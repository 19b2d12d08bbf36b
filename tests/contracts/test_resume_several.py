"""Killed and resumed with turns, several losses, mixed loops, a sampler, mixup: the same bits."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

import legoloop as ll
from legoloop.state.checkpoints import read_checkpoint, write_checkpoint
from tests.contracts.test_resume import Burns, Fuse, Killed, Saves
from tests.tiny import Net, Noisy, columns, mean_loss, tiny, weights


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


class Balanced(Noisy):
    """Noisy records that tell their classes."""

    def __init__(self) -> None:
        super().__init__()
        self.target = self.columns["target"]


def size_of_logits(batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
    return outputs["logits"].square().mean(dim=1)


@dataclass
class Run:
    """One run, in as many attempts as it takes; what it ends with is compared."""

    folder: Path
    save_every: int = 1
    saved: dict[str, Any] | None = None
    stages: int = 0

    def attempt(self, kill_at: int | None = None) -> tuple[Any, ...] | None:
        fuse = Fuse(kill_at)
        models, history, host = self._made(fuse)
        if self.saved is not None:
            write_checkpoint(self.folder / "checkpoint", self.saved)
            host.load_state_dict(read_checkpoint(self.folder / "checkpoint"))
        try:
            host.run()
        except Killed:
            return None
        finally:
            self.stages = fuse.burnt
        return *map(weights, models), history.rows, torch.rand(()).item()

    def _made(self, fuse: Fuse) -> tuple[list[torch.nn.Module], ll.History, ll.TrainingHost]:
        parts = tiny(num_epochs=3)
        second = Net()
        balanced = ll.Batching(batch_size=8, sampler=ll.BalancedSampling())
        loops = {
            "noisy": ll.Loop(Balanced(), "noisy", 0, balanced),
            "plain": ll.Loop(ll.ColumnDataset(columns(8)), "plain", 0, ll.Batching(batch_size=4)),
        }
        epoch = ll.SimpleEpoch(ll.MixedLoop(loops, {"noisy": 2, "plain": 1}), epoch_size=40)
        losses = ll.WeightedLosses({"name": mean_loss, "size": size_of_logits}, {"size": 0.1})
        turns = [
            ll.Turn(ll.GradientDescent(opt, model, ll.Feed(model, "cpu"), loss), *place)
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
            *(*turns, ll.LrScheduler(halving, turns[0], per="step"), history),
            *(Saves(self.save_every, self._save), Burns(fuse)),
        ]
        return [parts.model, second], history, ll.TrainingHost(plugins)

    def _save(self, state: dict[str, Any]) -> None:
        self.saved = copy.deepcopy(state)


@cache
def uninterrupted() -> tuple[tuple[Any, ...], int]:
    with TemporaryDirectory() as folder:
        run = Run(Path(folder))
        outcome = run.attempt()
        assert outcome is not None
        return outcome, run.stages


def after_kill(kill: int, save_every: int) -> tuple[Any, ...] | None:
    with TemporaryDirectory() as folder:
        run = Run(Path(folder), save_every)
        assert run.attempt(kill) is None
        return run.attempt()


def test_the_run_that_is_compared_with_has_everything_in_it() -> None:
    (*_, rows, _), stages = uninterrupted()
    assert len(rows) == 3
    for row in rows.values():
        assert set(row) == {"loss/first", "loss/second", "loss/name", "loss/size"}
    assert stages > 60


@pytest.mark.parametrize("kill", [5, 17, 28, 39, 52])
@pytest.mark.parametrize("save_every", [1, 4])
def test_killed_and_resumed(kill: int, save_every: int) -> None:
    assert after_kill(kill, save_every) == uninterrupted()[0]


@pytest.mark.slow
def test_killed_anywhere() -> None:
    outcome, stages = uninterrupted()
    for kill in range(1, stages + 1):
        assert after_kill(kill, save_every=3) == outcome, f"killed at {kill}"
