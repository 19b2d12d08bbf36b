from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import legoloop as ll
from legoloop.app.run.trained_weights import load_weights
from legoloop.core.compiled_names import with_names_of, with_plain_names
from legoloop.state.checkpoints import write_checkpoint
from tests.tiny import Net, Tiny, mean_loss, tiny, weights


class Wrapper(nn.Module):
    """Names the module as torch.compile does, whose import takes a second."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._orig_mod = module

    def forward(self, *given: Any) -> Any:
        return self._orig_mod(*given)


def whole(model: Net) -> nn.Module:
    return Wrapper(model)


def a_part(model: Net) -> nn.Module:
    model.layers[4] = Wrapper(model.layers[4])
    return model


def torchs(model: Net) -> nn.Module:
    compiled: nn.Module = torch.compile(model, backend="eager")  # type: ignore[assignment]
    return compiled


Wrap = Callable[[Net], nn.Module]
each_way = pytest.mark.parametrize(
    "wrap", [whole, a_part, pytest.param(torchs, marks=pytest.mark.slow)]
)


def trained(wrap: Wrap, folder: Path) -> tuple[Tiny, ll.TrainingHost]:
    parts = tiny()
    parts.model = wrap(parts.model)  # type: ignore[arg-type]
    parts.feed = ll.Feed(parts.model, "cpu")
    parts.descent = ll.GradientDescent(parts.opt, parts.model, parts.feed, mean_loss)
    source = ll.LearningRateMonitor(parts.opt)
    best = ll.BestModelWeights(parts.model, folder / "best", source, "lr", mode="max", restore=True)
    host = parts.host(best, source, ll.SaveModelWeights(parts.model, folder / "weights"))
    host.run()
    return parts, host


@each_way
def test_files_and_checkpoints_fit_a_model_that_is_not_compiled(wrap: Wrap, tmp_path: Path) -> None:
    parts, host = trained(wrap, tmp_path)
    assert any("_orig_mod" in name for name in parts.model.state_dict())
    write_checkpoint(tmp_path / "12", host.state_dict())
    for place in (tmp_path / "weights", tmp_path / "12"):
        model = Net()
        load_weights(model, place)
        assert weights(model) == weights(parts.model)
    for name in ("weights", "best"):
        assert torch.load(tmp_path / name).keys() == Net().state_dict().keys()


@each_way
def test_a_compiled_model_takes_what_was_trained_without(wrap: Wrap, tmp_path: Path) -> None:
    plain, host = trained(lambda model: model, tmp_path)
    model = wrap(Net())
    load_weights(model, tmp_path / "weights")
    assert weights(model) == weights(plain.model)
    resumed = tiny(seed=3)
    resumed.model = wrap(resumed.model)  # type: ignore[arg-type]
    resumed.descent = ll.GradientDescent(
        resumed.opt, resumed.model, ll.Feed(resumed.model, "cpu"), mean_loss
    )
    resumed.descent.load_state_dict(host.state_dict()["plugins"]["GradientDescent"])
    assert weights(resumed.model) == weights(plain.model)


def test_names_that_are_plain_keep_the_state_dict_with_its_versions() -> None:
    state = Net().state_dict()
    assert with_plain_names(state) is state
    assert with_names_of(Net().state_dict(), state) is state
