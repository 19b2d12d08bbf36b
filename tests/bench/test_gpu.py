from __future__ import annotations

from dataclasses import replace
from math import isfinite

import pytest
import torch
from torch import nn

from bench import gpu
from bench.gpu import MODES, PRECISIONS, bare, ours, rows
from bench.gpu_models import CASES, TINY, Case, images

CPU = torch.device("cpu")


@pytest.mark.long
def test_every_case_and_precision_has_a_row() -> None:
    found = list(rows(TINY, {"eager": None}, CPU, rounds=1, seconds=1e-4))

    assert [row[:3] for row in found] == [
        (case, precision, "eager") for case in TINY for precision in PRECISIONS
    ]
    assert all(isfinite(float(row[-1])) for row in found)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_compiled_ones_too(monkeypatch: pytest.MonkeyPatch) -> None:
    linear = Case(lambda: nn.Sequential(nn.Linear(4, 10)), images(4, 4))
    modes = {"compiled": MODES["compiled"]}
    monkeypatch.setattr(gpu, "PRECISIONS", ("fp32",))
    found = list(rows({"linear": linear}, modes, CPU, rounds=1, seconds=1e-4))
    assert len(found) == 1


@pytest.mark.parametrize("case", TINY)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_both_loops_compute_the_same(case: str, precision: str) -> None:
    models: list[nn.Module] = []

    def model() -> nn.Module:
        models.append(TINY[case].model())
        return models[-1]

    for loop in (bare, ours):
        loop(replace(TINY[case], model=model), CPU, None, precision)(3)
    one, other = (model.state_dict() for model in models)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("name", "millions"), [("10 M", 10), ("120 M", 120)])
def test_transformers_are_as_large_as_they_are_called(name: str, millions: float) -> None:
    with torch.device("meta"):
        model = CASES[f"transformer, {name}"].model()
    size = sum(parameter.numel() for parameter in model.parameters())
    assert size / 1e6 == pytest.approx(millions, rel=0.05)
