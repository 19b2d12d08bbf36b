"""Runs trained together and alone, composed as the command composes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from legoloop.app.run.lifecycle import prepare
from legoloop.app.sweep.compose_jobs import share_datasets
from legoloop.loop.host import TrainingHost
from legoloop.loop.step import Step
from legoloop.training.members.group import Group
from legoloop.training.members.program import Program
from legoloop.training.members.support import descent_of
from legoloop.zoo.toy_data import digits
from tests.app.composed import blueprint_of

BASE = ("plugins=[default]", "loggers=[]", "data=digits", "model=mlp", "num_epochs=2")
READ: dict[str, Any] = {}
"""The data sets of all runs, as those of jobs that are launched together are."""
MODELS = {
    "mlp": ("model=mlp",),
    "cnn": ("model=simple_cnn", "model.channels=[4,8]", "model.kernel_size=3", "model.dropout=0"),
    "batch norm": ("model._target_=tests.training.members.grouped.NormedMLP",),
}


class NormedMLP(nn.Module):
    """With running statistics."""

    def __init__(self, num_features: int, num_outputs: int, input_key: str, **others: Any) -> None:
        super().__init__()
        self.input_key = input_key
        self.layers = nn.Sequential(
            nn.Linear(num_features, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, num_outputs)
        )

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        dtype = self.layers[0].weight.dtype
        return {"logits": self.layers(batch[self.input_key].flatten(1).to(dtype) / 16)}


class TensorModel(nn.Sequential):
    """Takes a tensor, to be adapted."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 10))


def noisy_digits(train: bool = True) -> Any:
    """With noise that is drawn for each batch anew."""
    dataset = digits(train)

    def noisy(batch: dict[str, Any], generator: torch.Generator) -> dict[str, Any]:
        image = batch["image"].float()
        return {**batch, "image": image + torch.rand(image.shape, generator=generator)}

    dataset.transform = noisy
    return dataset


class Losses:
    """Keeps the loss of every step; fails before step ``fails_at``."""

    supports_members = True

    def __init__(self, fails_at: int | None = None) -> None:
        self.values: list[float | None] = []
        self.fails_at = fails_at

    def batch_end(self, step: Step) -> None:
        self.values.append(step.loss_float)
        if len(self.values) == self.fails_at:
            raise ValueError("of a plugin")


@dataclass
class Run:
    """A host, and how it ended."""

    host: TrainingHost
    losses: Losses
    error: BaseException | None = None
    states: list[Any] = field(default_factory=list)

    @property
    def descent(self) -> Any:
        return self.host.plan.plugins["descent"]

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return {name: value.clone() for name, value in self.descent.model.state_dict().items()}

    @property
    def reported(self) -> dict[str, float]:
        """What was reported after the last epoch."""
        history: Any = self.host.plan.plugins["history"]
        return dict(list(history.rows.values())[-1])

    def advance(self, steps: Any) -> bool:
        try:
            return next(steps, None) is not None
        except BaseException as error:
            self.error = error
            return False


def run_of(*overrides: str, losses: Losses | None = None, others: Any = ()) -> Run:
    """A run that is about to begin; without the final evaluation and its files."""
    prepared = prepare(blueprint_of(*BASE, *overrides), lambda *of: share_datasets(*of, READ))
    assert prepared.host is not None, prepared.problem
    left_out = ("loaders_metrics", "predicts", "model_weights", "profile")
    plugins = {n: p for n, p in prepared.host.plan.plugins.items() if n not in left_out}
    losses = losses or Losses()
    plugins = {**plugins, **dict(others), "losses": losses}
    return Run(TrainingHost(plugins, seed=prepared.blueprint.settings.seed), losses)


def train_alone(runs: Sequence[Run]) -> None:
    for run in runs:
        run.host.run()


def train_together(
    runs: Sequence[Run],
    rows: Sequence[int] | None = None,
    size: int | None = None,
    compile: bool = False,
    numbers: Callable[[Run], dict[str, float]] = lambda run: {},
    seed: int = 0,
) -> Group:
    """As the rows of one group, of ``size`` rows."""
    rows = range(len(runs)) if rows is None else rows
    descent = runs[0].descent
    program = Program(descent.feed, descent.loss, compile)
    group = Group(program, descent, size or len(runs), seed)
    steps = {}
    for row, run in zip(rows, runs, strict=True):
        name = descent_of(run.host)
        assert name is not None
        steps[row] = run.host.stepped(group.member(row, run.host, name, numbers(run)))
    group.run({row: _advance(run, steps[row]) for row, run in zip(rows, runs, strict=True)})
    return group


def _advance(run: Run, steps: Any) -> Callable[[], bool]:
    return lambda: run.advance(steps)


def worst_difference(alone: Run, together: Run, steps: int = 50) -> float:
    """The largest relative difference of the losses of the first steps."""
    pairs = list(zip(alone.losses.values, together.losses.values, strict=True))[:steps]
    assert len(pairs) == min(steps, len(alone.losses.values))
    return max(abs(a - b) / abs(a) for a, b in pairs)  # type: ignore[operator]
