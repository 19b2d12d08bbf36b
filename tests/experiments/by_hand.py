"""What the experiments have in common whose training is compared with a plain loop."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.experiments.projects import EXPERIMENTS


@contextmanager
def bricks_of(project: str, package: str) -> Iterator[Any]:
    """The modules of an experiment can be imported by their names; a function that does so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXPERIMENTS / project)
        yield lambda module: importlib.import_module(f"{package}.{module}")
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            del sys.modules[name]


def conf_of(project: str) -> Path:
    return EXPERIMENTS / project / "conf"


def assert_same_weights(run: Path, model: torch.nn.Module) -> None:
    """To the last bit, those that a run wrote and those of a model."""
    written, own = torch.load(run / "weights"), model.state_dict()
    assert written.keys() == own.keys()
    for name, value in own.items():
        assert torch.equal(written[name], value), name
