"""A step is the optimizer's own, to the bit, and whoever listens to steps hears each."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from functools import wraps
from types import MethodType
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from legoloop.training import torch_shortcuts
from legoloop.training.torch_shortcuts import fast_step
from tests.tiny import tiny

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda params: torch.optim.Adam(params, lr=0.1, fused=True),
    "adamw": lambda params: torch.optim.AdamW(params, lr=0.1, foreach=True),
    "adagrad": lambda params: torch.optim.Adagrad(params, lr=0.1),
}


def trained(opt: torch.optim.Optimizer, model: nn.Module, step: Callable[[Any], object]) -> bytes:
    draw = torch.Generator().manual_seed(0)
    for _ in range(4):
        opt.zero_grad()
        model(torch.randn(5, 3, generator=draw)).square().sum().backward()
        step(opt)
    return b"".join(p.detach().numpy().tobytes() for p in model.parameters())


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 2)


@pytest.fixture
def opt(model: nn.Module) -> torch.optim.Optimizer:
    opt = torch.optim.Adam(model.parameters(), lr=0.1)
    model(torch.ones(1, 3)).sum().backward()
    return opt


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_weights_are_those_of_the_step_itself(name: str, model: nn.Module) -> None:
    twin = copy.deepcopy(model)
    ours = trained(OPTIMIZERS[name](model.parameters()), model, fast_step)
    theirs = trained(
        OPTIMIZERS[name](twin.parameters()),
        twin,
        lambda opt: opt.step(),
    )
    assert ours == theirs


@pytest.mark.parametrize("register", ["register_step_pre_hook", "register_step_post_hook"])
def test_a_hook_hears_each(opt: torch.optim.Optimizer, register: str) -> None:
    heard = []
    fast_step(opt)
    handle = getattr(opt, register)(lambda *given: heard.append(given[0]))
    fast_step(opt), fast_step(opt)
    handle.remove()
    fast_step(opt)
    assert heard == [opt, opt]


@pytest.mark.parametrize(
    "register", [register_optimizer_step_pre_hook, register_optimizer_step_post_hook]
)
def test_so_does_one_of_all_optimizers(opt: torch.optim.Optimizer, register: Any) -> None:
    heard = []
    handle = register(lambda *given: heard.append(given[0]))
    fast_step(opt)
    handle.remove()
    fast_step(opt)
    assert heard == [opt]


def test_a_profiler_sees_it(opt: torch.optim.Optimizer) -> None:
    with torch.autograd.profiler.profile() as seen:
        fast_step(opt)
    assert "Optimizer.step#Adam.step" in {event.name for event in seen.function_events}


def test_nobody_is_told_while_nobody_listens(
    opt: torch.optim.Optimizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(torch.autograd.profiler, "record_function")
    fast_step(opt)
    with pytest.raises(AttributeError):
        opt.step()


def test_a_step_that_was_put_in_its_place_is_taken(opt: Any) -> None:
    taken = []
    opt.step = lambda: taken.append("mine")
    fast_step(opt)
    assert taken == ["mine"]


def counted(step: Any, taken: list[Any], name: str | None = None) -> Any:
    """A step that counts, as people put one around another: with the marks of what it wraps."""

    @wraps(step)
    def counting(*given: Any, **named: Any) -> Any:
        taken.append(name or given)
        return step(*given, **named)

    return counting


def test_one_put_around_that_of_the_class_is_taken(
    opt: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[object] = []
    monkeypatch.setattr(torch.optim.Adam, "step", counted(torch.optim.Adam.step, taken))
    fast_step(opt), fast_step(opt)
    assert len(taken) == 2


def test_one_put_in_place_before_a_schedule_is_taken_each_time(opt: Any) -> None:
    taken: list[object] = []
    opt.step = MethodType(counted(type(opt).step, taken), opt)
    torch.optim.lr_scheduler.StepLR(opt, step_size=1)
    for _ in range(3):
        fast_step(opt)
    assert len(taken) == 3


def test_so_is_one_put_around_that_of_a_schedule(opt: Any) -> None:
    taken: list[object] = []
    torch.optim.lr_scheduler.StepLR(opt, step_size=1)
    opt.step = counted(opt.step, taken)
    for _ in range(3):
        fast_step(opt)
    assert len(taken) == 3


def test_what_only_stands_in_for_an_optimizer_takes_its_step(opt: Any) -> None:
    class StandIn:
        def __getattr__(self, name: str) -> Any:
            return getattr(opt, name)

    stand_in: Any = StandIn()
    fast_step(stand_in)
    assert opt.state[opt.param_groups[0]["params"][0]]["step"] == 1


def test_a_class_of_ones_own_takes_its_own(model: nn.Module) -> None:
    class Twice(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            super().step(closure)
            return super().step(closure)

    model(torch.ones(1, 3)).sum().backward()
    before = model.bias.detach().clone()  # type: ignore[union-attr, operator]
    fast_step(Twice(model.parameters(), lr=0.25))
    assert torch.equal(model.bias, before - 0.5)  # type: ignore[arg-type]


def test_a_schedule_knows_that_a_step_was_made(opt: torch.optim.Optimizer) -> None:
    schedule = torch.optim.lr_scheduler.StepLR(opt, step_size=1)
    for _ in range(3):  # a warning, which is an error here, if it is not told
        fast_step(opt)
        schedule.step()
    assert schedule.get_last_lr() == pytest.approx([1e-4])


def test_with_a_schedule_the_first_step_is_told_and_no_other(
    opt: torch.optim.Optimizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.optim.lr_scheduler.StepLR(opt, step_size=1)
    fast_step(opt)
    monkeypatch.delattr(torch.autograd.profiler, "record_function")
    fast_step(opt)


@pytest.mark.parametrize("missing", ["_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"])
def test_without_its_hook_attributes_an_optimizer_gets_the_public_call(
    opt: torch.optim.Optimizer, missing: str
) -> None:
    delattr(opt, missing)
    with pytest.raises(AttributeError, match=missing):  # torch's own wrapper reads it too
        fast_step(opt)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (torch.autograd.profiler, torch_shortcuts.PROFILER_FLAG),
        *((optimizer, name) for name in torch_shortcuts.GLOBAL_HOOKS),
    ],
)
def test_without_an_attribute_of_torch_the_public_call_is_made(
    opt: torch.optim.Optimizer, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    assert not torch_shortcuts._needs_wrapper(opt, type(opt).step)
    monkeypatch.delattr(owner, name)
    assert torch_shortcuts._needs_wrapper(opt, type(opt).step)


def test_without_the_marks_of_torchs_wrapper_the_public_call_is_made(
    opt: torch.optim.Optimizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert torch_shortcuts._is_torch_wrapper(type(opt).step)
    for name in (torch_shortcuts.PROFILED, "__wrapped__"):
        with monkeypatch.context() as patch:
            patch.delattr(type(opt).step, name)
            assert not torch_shortcuts._is_torch_wrapper(type(opt).step)


def test_switched_off_the_public_calls_are_made_and_give_the_same_bits(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained() -> bytes:
        return tiny(num_epochs=2).trained()

    fast = trained()
    calls: list[str] = []
    monkeypatch.setattr(torch_shortcuts, "ENABLED", False)
    for owner, name in (
        (torch.optim.Optimizer, "zero_grad"),
        (torch.Tensor, "backward"),
        (torch.optim.Adam, "step"),
    ):
        real = getattr(owner, name)
        monkeypatch.setattr(owner, name, counted(real, calls, name))
    assert trained() == fast
    assert calls == ["zero_grad", "backward", "step"] * 12


@pytest.fixture
def without_dynamo(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not imported the tracer."""
    monkeypatch.setattr(torch_shortcuts, "DYNAMO", "nowhere")


@pytest.mark.usefixtures("without_dynamo")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_without_a_tracer_the_weights_are_the_same(
    name: str, model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = copy.deepcopy(model)
    theirs = trained(OPTIMIZERS[name](twin.parameters()), twin, lambda opt: opt.step())
    monkeypatch.setattr(torch._dynamo, "graph_break", None)  # to break one would fail
    assert trained(OPTIMIZERS[name](model.parameters()), model, fast_step) == theirs


@pytest.mark.usefixtures("without_dynamo")
@pytest.mark.parametrize("differentiable", [False, True])
def test_without_a_tracer_the_gradient_mode_is_the_optimizers_own(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch, differentiable: bool
) -> None:
    seen: list[bool] = []

    def step(opt: object) -> None:
        seen.append(torch.is_grad_enabled())
        raise KeyError

    class Fails(torch.optim.SGD):
        pass

    Fails.step = torch.optim.SGD.profile_hook_step(optimizer._use_grad_for_differentiable(step))
    opt = Fails(model.parameters(), lr=0.1, differentiable=differentiable)
    assert torch_shortcuts._is_torch_wrapper(Fails.step)
    for mode in (True, False):
        with torch.set_grad_enabled(mode), pytest.raises(KeyError):
            fast_step(opt)
        assert torch.is_grad_enabled()
    assert seen == [differentiable] * 2


def test_with_a_tracer_what_it_is_not_to_trace_is_kept_from_it() -> None:
    def method(number: int) -> int:
        return number + 1

    call = torch_shortcuts._traced_by_none(method)
    assert call(1) == 2
    kept = vars(method)[torch_shortcuts.NOT_TRACED]
    assert (kept is not call, kept(1)) == (True, 2)


@pytest.mark.slow
@pytest.mark.parametrize(("value", "enabled"), [("0", False), ("1", True), (None, True)])
def test_the_environment_switches_the_shortcuts(value: str | None, enabled: bool) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "LEGOLOOP_TORCH_SHORTCUTS"}
    if value is not None:
        environment["LEGOLOOP_TORCH_SHORTCUTS"] = value
    code = "from legoloop.training.torch_shortcuts import ENABLED; print(ENABLED)"
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == str(enabled)
