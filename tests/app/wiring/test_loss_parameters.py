"""``params`` has the parameters of a loss, its state is saved, and what is left out is told."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import legoloop as ll
from legoloop.core.errors import ConfigError

XOR = ("data=xor", "model=logistic", "loggers=[]", "hydra.run.dir=run", "num_epochs=2")
HERE = __name__


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Scaled(nn.Module):
    """Has a parameter that is trained, one that is frozen, and a buffer."""

    def __init__(self, other: nn.Module | None = None) -> None:
        super().__init__()
        self.other = other
        self.scale = nn.Parameter(torch.ones(()))
        self.frozen = nn.Parameter(torch.ones(()), requires_grad=False)
        self.register_buffer("centre", torch.zeros(()))

    def forward(self, batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
        logits, centre = outputs["logits"], self.get_buffer("centre")
        centre.lerp_(logits.detach().mean(), 0.1)
        target = batch["target"].to(logits.dtype)
        return nn.functional.binary_cross_entropy_with_logits(self.scale * logits - centre, target)


def given_another(other: nn.Module) -> Scaled:
    return Scaled(other)


def made(*more: str, loss: str = "Scaled") -> Any:
    return ll.compose([*XOR, f"loss={{_target_: {HERE}.{loss}}}", *more])


def test_params_are_those_of_the_model_and_the_trainable_ones_of_the_loss(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = made()
    with caplog.at_level(logging.INFO, "legoloop"):
        assert app.params() == [*app.model().parameters(), app.loss().scale]
    assert "the optimizer trains parameters of the loss too: scale" in caplog.text


def test_another_component_that_a_loss_is_given_is_not_trained_with_it() -> None:
    other = "+components.other={_target_: torch.nn.Linear, in_features: 1, out_features: 1}"
    app = made(other, loss="given_another")
    assert app.params() == [*app.model().parameters(), app.loss().scale]
    with pytest.raises(ConfigError, match=r"no optimizer has: other\.weight, other\.bias; give th"):
        app.host()
    app.other().requires_grad_(False)
    app.host()


def test_a_loss_that_nothing_is_given_has_no_part_in_params() -> None:
    own = f"plugins.descent.loss={{_target_: {HERE}.no_loss, _partial_: true}}"
    app = ll.compose([*XOR, own.replace("plugins", "+plugins")])
    assert app.params() == list(app.model().parameters())


def no_loss(batch: Any, outputs: Any) -> torch.Tensor:
    mean: torch.Tensor = outputs["logits"].mean()
    return mean


def test_param_groups_take_the_loss_if_it_is_injected() -> None:
    groups = ("optimizer=adamw", "param_groups=no_decay")
    with pytest.raises(ConfigError, match=r"descent\.loss, a Scaled, has parameters that no"):
        made(*groups).host()
    app = made(*groups, "+optimizer.params._inject_.loss=loss")
    app.host()
    trained = [w for group in app.optimizer().param_groups for w in group["params"]]
    assert {*map(id, trained)} == {*map(id, [*app.model().parameters(), app.loss().scale])}


def test_a_run_that_goes_on_ends_with_the_bits_of_the_whole() -> None:
    def ended(app: Any) -> list[torch.Tensor]:
        return [*app.model().state_dict().values(), *app.loss().state_dict().values()]

    whole, half = made("hydra.run.dir=whole"), made("num_epochs=1", "hydra.run.dir=half")
    rest = made("hydra.run.dir=rest")
    for app in (whole, half):
        app.host().run()
    rest.host().load_state_dict(copy.deepcopy(half.host().state_dict()), strict=False)
    rest.host().run()
    assert all(map(torch.equal, ended(rest), ended(whole)))
    assert whole.loss().centre != 0
    assert whole.loss().scale != 1
