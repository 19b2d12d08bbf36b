"""A setting that changed is that of the configuration, also where the saved state has it."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
import torch
from torch import nn

import legoloop as ll
from legoloop.core.errors import PluginError
from tests.tiny import Tiny, mean_loss, tiny


class Weighted(nn.Module):
    """A loss with the weights of its classes, and a running centre."""

    def __init__(self, weights: list[float], start: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights))
        self.register_buffer("centre", torch.full((3,), start))

    def forward(self, batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
        self.centre.lerp_(outputs["logits"].detach().mean(0), 0.5)
        return mean_loss(batch, {"logits": outputs["logits"] * self.weights - self.centre})


class Keeps:
    """Saves its settings beside what it counts."""

    def __init__(self, threshold: float = 0.1, names: tuple[str, ...] = ()) -> None:
        self.threshold, self.names, self.seen = threshold, names, 0

    def batch_end(self, step: ll.Step) -> None:
        self.seen += 1

    def state_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


class Refers:
    """Holds the loss too, and comes before the descent."""

    def __init__(self, loss: object) -> None:
        self.loss = loss

    def scalars(self) -> dict[str, float]:
        return {}


def made(
    weights: list[float], *others: object, start: float = 0.0, seed: int | None = 0
) -> tuple[Tiny, Any, ll.TrainingHost]:
    parts, loss = tiny(), Weighted(weights, start)
    parts.descent = ll.GradientDescent(parts.opt, parts.model, parts.feed, loss)
    plugins = {"counter": parts.counter, "epoch": parts.epoch, "descent": parts.descent}
    more = {
        f"a_{type(other).__name__}": Refers(loss) if other is Refers else other for other in others
    }
    return parts, loss, ll.TrainingHost({**plugins, "last": parts.last, **more}, seed=seed)


def trained(weights: list[float], *others: object, **given: Any) -> Any:
    _, loss, host = made(weights, *others, **given)
    host.run()
    return loss, copy.deepcopy(host.state_dict())


ONE, OTHER = [1.0, 1.0, 1.0], [3.0, 2.0, 1.0]


@pytest.mark.parametrize("others", [(), (Refers,)])
def test_a_buffer_that_is_a_setting_is_as_it_is_configured(
    others: tuple[object, ...], caplog: pytest.LogCaptureFixture
) -> None:
    first, saved = trained(ONE)
    _, loss, host = made(OTHER, *others)
    host.load_state_dict(saved, strict=False)
    assert loss.weights.tolist() == OTHER
    assert torch.equal(loss.centre, first.centre)  # what was learnt
    assert ".loss.weights" in caplog.text
    assert ".loss.centre" not in caplog.text


def test_what_the_saved_run_has_changed_is_loaded() -> None:
    first, saved = trained(ONE, start=0.0)
    _, loss, host = made(ONE, start=9.0)
    host.load_state_dict(saved, strict=False)
    assert torch.equal(loss.centre, first.centre)


def test_a_later_resume_compares_with_what_was_constructed_last() -> None:
    saved = trained(ONE)[1]
    _, loss, host = made(OTHER)
    host.load_state_dict(saved, strict=False)
    again = copy.deepcopy(host.state_dict())
    _, loss, host = made(ONE)
    host.load_state_dict(again, strict=False)
    assert loss.weights.tolist() == ONE


def test_with_another_seed_nobody_knows_whether_a_buffer_was_drawn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    saved = trained(ONE)[1]
    with pytest.raises(PluginError, match=r"descent\.loss\.weights; leave the seed as it was"):
        made(OTHER, seed=1)[2].load_state_dict(saved, strict=False)

    unseeded = trained(ONE, seed=None)[1]
    _, loss, host = made(OTHER, seed=None)
    with caplog.at_level(logging.WARNING, "legoloop"):
        host.load_state_dict(unseeded, strict=False)
    assert loss.weights.tolist() == ONE
    assert "stay as they were: descent.loss.weights" in caplog.text


def test_without_a_change_all_is_loaded_as_it_was() -> None:
    saved = trained(ONE)[1]
    _, loss, host = made(OTHER)
    host.load_state_dict(saved)
    assert loss.weights.tolist() == ONE


def test_arguments_of_a_constructor_that_a_plugin_saves() -> None:
    saved = trained(ONE, Keeps(0.1, ("a",)))[1]
    keeps = Keeps(0.7, ("a", "b"))
    made(ONE, keeps)[2].load_state_dict(saved, strict=False)
    assert (keeps.threshold, keeps.names) == (0.7, ("a", "b"))
    assert keeps.seen > 0


def test_a_state_from_before_settings_were_saved_is_loaded() -> None:
    saved = trained(ONE)[1]
    del saved["settings"]
    _, loss, host = made(OTHER)
    host.load_state_dict(saved, strict=False)
    assert loss.weights.tolist() == ONE
