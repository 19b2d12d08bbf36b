"""What cannot be a row of a group, and why."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from legoloop.training.members.support import difference, why_not_a_row
from tests.training.members.grouped import (
    NormedMLP,
    run_of,
    train_alone,
    train_together,
    worst_difference,
)

HERE = "model._target_=tests.training.members.test_support."


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class ByValue(NormedMLP):
    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        outputs = super().forward(batch)
        return {"logits": -outputs["logits"]} if outputs["logits"].sum() > 1e9 else outputs


class Counts(NormedMLP):
    calls = 0

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        self.calls += 1
        return super().forward(batch)


class DrawsFromPython(NormedMLP):
    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"logits": super().forward(batch)["logits"] * random.random()}


class DrawsFromNumpy(NormedMLP):
    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"logits": super().forward(batch)["logits"] * float(np.random.rand())}


class Replaces(NormedMLP):
    def __init__(self, num_features: int, num_outputs: int, input_key: str, **others: Any) -> None:
        super().__init__(num_features, num_outputs, input_key)
        self.register_buffer("mean", torch.zeros(10))

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        outputs = super().forward(batch)
        self.mean = outputs["logits"].detach().mean(dim=0)
        return outputs


class Hooked(NormedMLP):
    def __init__(self, num_features: int, num_outputs: int, input_key: str, **others: Any) -> None:
        super().__init__(num_features, num_outputs, input_key)
        self.layers.register_forward_hook(lambda module, given, made: None)


class Unused(NormedMLP):
    def __init__(self, num_features: int, num_outputs: int, input_key: str, **others: Any) -> None:
        super().__init__(num_features, num_outputs, input_key)
        self.spare = nn.Parameter(torch.zeros(3))


class Shuffled(NormedMLP):
    """Whose inputs are in an order that it has drawn."""

    def __init__(self, num_features: int, num_outputs: int, input_key: str, **others: Any) -> None:
        super().__init__(num_features, num_outputs, input_key)
        self.order = torch.randperm(num_features)

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        return super().forward({self.input_key: batch[self.input_key].flatten(1)[:, self.order]})


class PartlyFrozen(NormedMLP):
    """Built in evaluation mode, with a norm that stays so."""

    def __init__(self, num_features: int, num_outputs: int, input_key: str, **others: Any) -> None:
        super().__init__(num_features, num_outputs, input_key)
        self.eval()

    def train(self, mode: bool = True) -> PartlyFrozen:
        super().train(mode)
        self.layers[1].eval()
        return self


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("ByValue", "torch.func.vmap cannot run it"),
        ("Counts", "its forward pass changes attributes"),
        ("DrawsFromPython", "its forward pass draws from random or numpy"),
        ("DrawsFromNumpy", "its forward pass draws from random or numpy"),
        ("Replaces", "its forward pass puts another buffer in the place of one"),
        ("Hooked", "its model has hooks"),
        ("Unused", "its parameter spare has no gradient"),
    ],
)
def test_a_model_that_is_no_row_says_why(model: str, reason: str) -> None:
    run = run_of(HERE + model)
    before = run.host.state_dict()
    found = why_not_a_row(run.host)
    assert found is not None
    assert found.startswith(reason)
    assert str(run.host.state_dict()) == str(before)


def changed(change: Callable[[Any], object]) -> str | None:
    run = run_of()
    change(run.descent)
    return why_not_a_row(run.host)


def test_a_descent_that_is_no_row_says_why() -> None:
    assert changed(lambda descent: None) is None

    def amsgrad(descent: Any) -> None:
        descent.opt.param_groups[0]["amsgrad"] = True

    def hook(descent: Any) -> None:
        descent.opt.register_step_pre_hook(lambda *given: None)

    def loss(descent: Any) -> None:
        descent.loss = nn.CrossEntropyLoss(weight=torch.ones(10))

    def double(descent: Any) -> None:
        descent.model.head.double()

    assert changed(amsgrad) == "its optimizer has amsgrad=true"
    assert changed(hook) == "its optimizer has hooks"
    assert changed(loss) == "its loss has parameters or buffers"
    assert "several dtypes" in str(changed(double))
    assert changed(lambda d: setattr(d, "micro_batch_size", 4)) == "micro_batch_size is given"
    assert "CUDA graphs" in str(changed(lambda d: setattr(d, "compiles", "reduce-overhead")))
    assert changed(lambda d: setattr(d, "on_phase", print)) == "its phases are timed"
    assert "not a legoloop.Feed" in str(changed(lambda d: setattr(d, "feed", lambda b: (b, {}))))


def test_what_models_draw_besides_their_tensors_is_a_difference() -> None:
    one, other = (run_of(HERE + "Shuffled", f"seed={seed}") for seed in (0, 1))
    assert why_not_a_row(one.host) is None
    assert difference(one.host, other.host) == "model.order"
    assert difference(one.host, run_of(HERE + "Shuffled", "seed=0").host) is None
    smoothed = run_of("loss.label_smoothing=0.1")
    assert difference(run_of().host, smoothed.host) is None


def test_modes_of_modules_are_those_of_the_run_alone() -> None:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        made = [
            [run_of(HERE + "PartlyFrozen", "epoch_size=160", f"seed={n}") for n in range(2)]
            for _ in range(2)
        ]
        train_alone(made[0])
        train_together(made[1])
    finally:
        torch.set_default_dtype(before)
    for one, other in zip(*made, strict=True):
        assert other.error is None
        assert worst_difference(one, other) < 1e-10
