"""A run that would go on with other weights than it saved is refused before its first step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import legoloop as ll
from legoloop.core.errors import PluginError
from legoloop.loop.lost_weights import reject_lost_weights
from tests.app.composed import refusal
from tests.tiny import Net, tiny

SAVED_NOWHERE = "these weights are trained and saved by no plugin"


class Descends:
    """A descent of a user's own."""

    def __init__(self, weight: torch.Tensor) -> None:
        self.opt = torch.optim.SGD([weight], lr=0.1)

    def batch(self, step: ll.Step) -> None: ...


class HoldsTheParameter(Descends):
    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__(weight)
        self.weight = weight


class SavesIt(HoldsTheParameter):
    def state_dict(self) -> dict[str, Any]:
        return {"weight": self.weight}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class SavesACopy(SavesIt):
    def state_dict(self) -> dict[str, Any]:
        return {"nested": [self.weight.detach().clone()]}


class SavesTheOptimizerAlone(HoldsTheParameter):
    def state_dict(self) -> dict[str, Any]:
        return {"opt": self.opt.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class HoldsItsModule(Descends):
    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__(weight)
        self.layers = [torch.nn.Linear(1, 1)]
        self.layers[0].weight = weight  # type: ignore[assignment]


class StepsByHand:
    """Without an optimizer of torch's."""

    def __init__(self, weight: torch.Tensor) -> None:
        self.params = [weight]


def parameter() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.rand(3))


def rejected(plugin: Any) -> None:
    state = getattr(plugin, "state_dict", dict)
    reject_lost_weights({"mine": plugin}, lambda: {"mine": state()})


@pytest.mark.parametrize("kind", [SavesIt, SavesACopy, HoldsItsModule])
def test_weights_that_are_saved_are_taken(kind: Callable[[Any], Any]) -> None:
    rejected(kind(parameter()))


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (Descends, "mine.opt.param_groups.0.params.0"),
        (HoldsTheParameter, "mine.weight"),
        (SavesTheOptimizerAlone, "mine.weight"),
        (StepsByHand, "mine.params.0"),
    ],
)
def test_weights_that_no_state_has_are_refused(kind: Callable[[Any], Any], path: str) -> None:
    with pytest.raises(PluginError, match=f"{SAVED_NOWHERE}, .*: {path}; hold the module"):
        rejected(kind(parameter()))


class InNoParameter(torch.nn.Module):
    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.plain = weight.detach().clone().requires_grad_()


@pytest.mark.parametrize(
    ("plugin", "path"),
    [
        (StepsByHand(torch.zeros(3, requires_grad=True)), "mine.params.0"),
        (HoldsTheParameter(InNoParameter(parameter()).plain), "mine.weight"),
        ([InNoParameter(parameter())], "mine.0.plain"),
    ],
)
def test_a_tensor_that_is_no_parameter_may_be_trained_too(plugin: Any, path: str) -> None:
    with pytest.raises(PluginError, match=f"{SAVED_NOWHERE}, .*: {path}; hold the module"):
        rejected(plugin)


def test_what_is_computed_is_no_weight() -> None:
    rejected(StepsByHand(2 * parameter()))


def test_frozen_ones_are_not_trained() -> None:
    rejected(HoldsTheParameter(parameter().requires_grad_(False)))


class Once:
    def __init__(self, weight: torch.Tensor, folder: Path, saves: bool) -> None:
        self.weight, self.saves = weight, saves
        self.steps = 0

    def train_start(self) -> ll.ShouldSave | None:
        return ll.ShouldSave(lambda state: None) if self.saves else None

    def batch(self, step: ll.Step) -> None:
        self.steps += 1


@pytest.mark.parametrize("saves", [True, False])
def test_a_host_refuses_them_when_something_is_to_be_saved(saves: bool, tmp_path: Path) -> None:
    parts = tiny()
    once = Once(parameter(), tmp_path, saves)
    host = parts.host(once)
    if saves:
        with pytest.raises(PluginError, match=SAVED_NOWHERE):
            host.run()
    else:
        host.run()
    assert once.steps == (0 if saves else 12)


def test_what_ships_is_taken_without_asking_for_a_state() -> None:
    parts = tiny()
    plugins: dict[str, object] = {"descent": parts.descent, "epoch": parts.epoch}

    def state() -> dict[str, Any]:
        raise AssertionError

    reject_lost_weights(plugins, state)


class Hides:
    """What it trains is known to its optimizer alone."""

    def __init__(self) -> None:
        self.opt = torch.optim.SGD(Net().parameters(), lr=0.1)

    def batch(self, step: ll.Step) -> None: ...


def test_the_command_refuses_them_before_it_creates_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hides = "+plugins.hides._target_=tests.loop.test_lost_weights.Hides"
    assert refusal("data=xor", "model=logistic", "loggers=[]", hides) == (
        "these weights are trained and saved by no plugin, so a resumed run would begin anew with "
        "them: hides.opt.param_groups.0.params.0, hides.opt.param_groups.0.params.1, "
        "hides.opt.param_groups.0.params.2, hides.opt.param_groups.0.params.3, "
        "hides.opt.param_groups.0.params.4, hides.opt.param_groups.0.params.5; hold the module "
        "that they are of as an attribute, or return them from state_dict and take them in "
        "load_state_dict"
    )
    assert list(tmp_path.iterdir()) == []


class AsksTheStep:
    """A second descent that counts on the graph of the first."""

    def batch_end(self, step: ll.Step) -> None:
        step.loss.backward()


def test_a_backward_pass_from_the_step_says_why_not() -> None:
    with pytest.raises(RuntimeError, match="does not require grad") as caught:
        tiny().host(AsksTheStep()).run()
    (note,) = caught.value.__notes__
    assert note.startswith("step.loss has no graph; a plugin that computes gradients calls")


def test_another_error_is_left_as_it_is() -> None:
    class Breaks:
        def batch_end(self, step: ll.Step) -> None:
            raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else") as caught:
        tiny().host(Breaks()).run()
    assert not hasattr(caught.value, "__notes__")
