"""Whether what a host trains can be one of several rows, and why not."""

from __future__ import annotations

import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import nn

from legoloop.core.as_constructed import describe
from legoloop.core.rng import preserved_rng, reseed_generators
from legoloop.core.text import in_one_line
from legoloop.loop.host import TrainingHost
from legoloop.training.loss_shape import check_losses
from legoloop.training.members.member import structure_of
from legoloop.training.members.program import Program
from legoloop.training.members.row_steps import MOMENTS
from legoloop.training.step.descent import GradientDescent
from legoloop.training.step.feed import Feed
from legoloop.training.step.nonfinite_guard import NonFiniteGuard

UNSUPPORTED_FLAGS = ("amsgrad", "maximize", "capturable", "differentiable")
OF_MODULES = {name for name in vars(nn.Module()) if name != "training"}
"""The attributes that torch keeps in every module."""
TOLERANCE = 1e-3


def descent_of(host: TrainingHost) -> str | None:
    """The name of the one plugin that changes the weights; None if there are others."""
    named = host.plan.plugins.items()
    found = [name for name, plugin in named if type(plugin) is GradientDescent]
    return found[0] if len(found) == 1 else None


def why_not_a_row(host: TrainingHost, rows: int = 2) -> str | None:
    """Why the model, the loss or the optimizer of a host cannot be one of so many rows, if so.

    Nothing of the host changes.
    """
    name = descent_of(host)
    if name is None:
        return "it has no GradientDescent, or several"
    descent: Any = host.plan.plugins[name]
    driver: Any = host.plan.plugins[host.plan.driver]
    stream: Any = getattr(driver, "train_iterator", None)
    for name in ("position", "peek"):
        if not hasattr(stream, name):
            return f"its training stream, a {type(stream).__name__}, has no {name}"
    reasons = (*_about_descent(descent), *_about_optimizer(descent), *_about_model(descent))
    if reasons:
        return reasons[0]
    batch = next(iter(stream.peek(_samples(stream))))
    with preserved_rng():
        try:
            return _why_no_program(descent, batch, rows)
        except Exception as error:  # whatever a model does that vmap cannot
            text = in_one_line(error)
            return f"torch.func.vmap cannot run it ({text[:160] or repr(error)})"


def difference(one: TrainingHost, other: TrainingHost) -> str | None:
    """In which attribute the models or losses of two hosts differ, besides parameters and buffers.

    Of a program that runs both, the attributes are those of the first.
    """
    parts: list[tuple[str, Any, Any]] = []
    for host in (one, other):
        descent: Any = host.plan.plugins[str(descent_of(host))]
        own: list[tuple[str, Any, Any]] = [
            *(
                (f"model.{path}".rstrip("."), module, ())
                for path, module in descent.model.named_modules()
            ),
            ("loss", descent.loss, member_numbers(descent.loss)),
            ("feed", [descent.feed.dtype, descent.feed.channels_last], ()),
        ]
        if not parts:
            parts = own
            continue
        if [path for path, *_ in parts] != [path for path, *_ in own]:
            return "the modules of the model"
        for (path, mine, numbers), (_, theirs, _) in zip(parts, own, strict=True):
            left, right = _attributes(mine), _attributes(theirs)
            for key in left.keys() | right.keys():
                if key not in numbers and left.get(key) != right.get(key):
                    return f"{path}.{key}"
    return None


def member_numbers(loss: Any) -> tuple[str, ...]:
    """The attributes of a loss of which each member may have its own."""
    return tuple(getattr(type(loss), "member_numbers", ()))


def _samples(stream: Any) -> int | None:
    return getattr(getattr(stream, "config", None), "batch_size", None)


def _about_descent(descent: GradientDescent) -> Iterator[str]:
    if descent.micro_batch_size is not None:
        yield "micro_batch_size is given"
    if descent.scaler is not None:
        yield "its gradients are scaled (precision=amp_fp16)"
    if descent.compiles not in (True, False, "default"):
        yield f"compile is {descent.compiles}, whose CUDA graphs reuse memory"
    if descent.on_phase is not None:
        yield "its phases are timed"
    if type(descent.feed) is not Feed or descent.feed.model is not descent.model:
        yield "its feed is not a legoloop.Feed of its model"
    if type(descent.guard) is not NonFiniteGuard:
        yield f"its guard is a {type(descent.guard).__name__}, not a NonFiniteGuard"
    loss = descent.loss
    if isinstance(loss, nn.Module) and any(True for _ in (*loss.parameters(), *loss.buffers())):
        yield "its loss has parameters or buffers"


def _about_optimizer(descent: GradientDescent) -> Iterator[str]:
    opt: Any = descent.opt
    if type(opt) not in MOMENTS:
        known = ", ".join(kind.__name__ for kind in MOMENTS)
        yield f"its optimizer is a {type(opt).__name__}, none of {known}"
        return
    if flags := [f for f in UNSUPPORTED_FLAGS if any(g.get(f) for g in opt.param_groups)]:
        yield f"its optimizer has {flags[0]}=true"
    if any(getattr(opt, hooks, None) for hooks in _OPTIMIZER_HOOKS):
        yield "its optimizer has hooks"
    stepped = {p for group in opt.param_groups for p in group["params"]}
    trained = {p for p in descent.model.parameters() if p.requires_grad}
    if not trained <= stepped or not stepped <= set(descent.model.parameters()):
        yield "its optimizer does not have the parameters of its model, and these alone"
    for group in opt.param_groups:
        kinds = {(p.dtype, p.device) for p in group["params"] if p.requires_grad}
        if len(kinds) != 1:
            yield "a parameter group has no trained parameter, or several dtypes"


_OPTIMIZER_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")


def _about_model(descent: GradientDescent) -> Iterator[str]:
    model = descent.model
    unhooked = structure_of(model)
    if any(any(counts[1:5]) for counts in unhooked[1]) or any(unhooked[2]):
        yield "its model has hooks"
    if any(p.layout is not torch.strided for p in model.parameters()):
        yield "its model has sparse parameters"
    buffers = [buffer for _, buffer in model.named_buffers(remove_duplicate=False)]
    if len({id(buffer) for buffer in buffers}) < len(buffers):
        yield "two modules of its model share a buffer"


def _why_no_program(descent: GradientDescent, batch: Any, size: int) -> str | None:
    """Run copies of model and loss alone and as so many rows, and compare."""
    feed, loss = deepcopy((descent.feed, descent.loss))
    assert isinstance(feed, Feed)
    model = feed.model.train()
    before = [_attributes(module) for module in (*model.modules(), loss)]
    held = [dict(module._buffers) for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    alone = []
    for seed in (0, 1):
        model.load_state_dict(state)
        reseed_generators(seed)
        drawn = _generators_of_the_host()
        moved, outputs = feed(batch)
        losses = loss(moved, outputs)
        check_losses(losses, moved, outputs)
        alone.append(losses.detach().mean())
        if _generators_of_the_host() != drawn:
            return "its forward pass draws from random or numpy, which would be once for all"
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(losses.mean(), list(trained.values()), allow_unused=True)
    for name, gradient in zip(trained, found, strict=True):
        if gradient is None or gradient.layout is not torch.strided:
            return f"its parameter {name} has {'no' if gradient is None else 'a sparse'} gradient"
    if [_attributes(module) for module in (*model.modules(), loss)] != before:
        return "its forward pass changes attributes of the model or the loss"
    now = [module._buffers for module in model.modules()]
    if any(n.get(k) is not b for was, n in zip(held, now, strict=True) for k, b in was.items()):
        return "its forward pass puts another buffer in the place of one"
    model.load_state_dict(state)
    parameters = dict(model.named_parameters())
    rows = {name: torch.stack([p.detach()] * size) for name, p in parameters.items()}
    weights = {name: each for name, each in rows.items() if parameters[name].requires_grad}
    constants = {name: each for name, each in rows.items() if name not in weights}
    constants |= {name: torch.stack([b] * size) for name, b in model.named_buffers()}
    columns = {k: torch.stack([v] * size) for k, v in moved.items() if isinstance(v, torch.Tensor)}
    numbers = {
        name: torch.tensor([float(getattr(loss, name))] * size, device=feed.device)
        for name in member_numbers(loss)
    }
    made = Program(feed, loss).run(weights, constants, columns, numbers)
    draws = not torch.equal(alone[0], alone[1])
    wanted = alone[0].expand(size)
    if not draws and not torch.allclose(made.means, wanted, TOLERANCE, TOLERANCE, equal_nan=True):
        return f"as one of several rows its loss is {made.means[0]:.6g}, alone {alone[0]:.6g}"
    return None


def _generators_of_the_host() -> tuple[Any, ...]:
    """The states of python's and numpy's."""
    _, keys, *rest = np.random.get_state(legacy=True)
    return random.getstate(), np.asarray(keys).tobytes(), rest


def _attributes(thing: Any) -> dict[str, str]:
    """What an object has besides parameters, buffers and modules, described."""
    if not hasattr(thing, "__dict__"):
        return {"": describe(thing)}
    own = {key: value for key, value in vars(thing).items() if key not in OF_MODULES}
    return {key: describe(value) for key, value in own.items() if not isinstance(value, nn.Module)}
