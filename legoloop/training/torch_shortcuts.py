"""Shortcuts for ``zero_grad``, ``backward`` and ``step``: the same bits at less Python overhead.

And ``torch._dynamo``, whose import takes a second, is imported by what compiles, not by the first
optimizer or by DistributedDataParallel.

They read attributes of torch that are private; each is listed here. Where one is missing, and with
``LEGOLOOP_TORCH_SHORTCUTS=0`` in the environment, the public call is made instead.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from inspect import unwrap
from typing import Any

import torch
from torch.autograd import profiler
from torch.optim import Optimizer, optimizer

ENABLED = os.environ.get("LEGOLOOP_TORCH_SHORTCUTS", "1") != "0"

# Of torch.autograd.profiler: whether a profiler runs.
PROFILER_FLAG = "_is_profiler_enabled"
# Of torch.optim.optimizer: the hooks of all optimizers.
GLOBAL_HOOKS = ("_global_optimizer_pre_hooks", "_global_optimizer_post_hooks")
# Of an optimizer: its own hooks.
OWN_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
# Of a step: set by torch's profiling wrapper, which keeps the plain step in __wrapped__.
PROFILED = "hooked"
# Of a step that a learning rate scheduler wrapped, and of its optimizer once a step was made.
WRAPPED_BY_SCHEDULER, STEP_WAS_MADE = "_wrapped_by_lr_sched", "_opt_called"
# Of torch.optim.optimizer: the decorator of a step that sets the gradient mode, and breaks the
# graph that torch._dynamo may be tracing.
GRAD_MODE_DECORATOR = "_use_grad_for_differentiable"
# Of a function that torch._dynamo is not to trace: what is called in its place.
NOT_TRACED = "__dynamo_disable"

DYNAMO = "torch._dynamo"
# Of DistributedDataParallel: what is called in each forward pass, and not to be traced.
DDP_FORWARD = "_inside_ddp_forward"
# Of torch._dynamo.utils: what DistributedDataParallel calls when it is made, and the answer unless
# somebody has imported torch._dynamo and set it otherwise.
DDP_MODE, DEFAULT_DDP_MODE = "get_optimize_ddp_mode", "ddp_optimizer"

_ZERO_GRAD = Optimizer.zero_grad


def fast_zero_grad(opt: Optimizer) -> None:
    """Same as ``opt.zero_grad()``, at a tenth of the overhead unless it is overridden.

    >>> weight = torch.zeros(1, requires_grad=True)
    >>> weight.grad = torch.ones(1)
    >>> fast_zero_grad(torch.optim.SGD([weight], lr=0.1))
    >>> weight.grad is None
    True
    """
    if not ENABLED or _overrides_zero_grad(opt):
        opt.zero_grad()
        return
    for group in opt.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


def fast_backward(loss: torch.Tensor) -> None:
    """Same as ``loss.backward()``, without the dispatch for subclasses of Tensor.

    >>> weight = torch.ones(1, requires_grad=True)
    >>> fast_backward((3 * weight).sum())
    >>> weight.grad
    tensor([3.])
    """
    if ENABLED and type(loss) is torch.Tensor:
        # No preallocated gradient of 1: gradients, and what changes them in place, may share it.
        torch.autograd.backward(loss)
    else:
        loss.backward()  # type: ignore[no-untyped-call]


def fast_step(opt: Optimizer) -> None:
    """Same as ``opt.step()``, without the profiler and hook wrapper when neither is active.

    The wrapper opens a profiler record at every step, which takes half as long as a fused Adam of
    a few thousand weights. A profiler, a hook, and an overridden ``step`` get the public call.

    >>> weight = torch.ones(1, requires_grad=True)
    >>> weight.grad = torch.ones(1)
    >>> fast_step(torch.optim.SGD([weight], lr=0.25))
    >>> weight.detach()
    tensor([0.7500])
    """
    step: Any = getattr(type(opt), "step", None)
    if ENABLED and _is_torch_wrapper(step) and not _needs_wrapper(opt, step):
        if "step" in vars(opt):
            setattr(opt, STEP_WAS_MADE, True)  # all that a scheduler's wrapper does
        _step_in_grad_mode(opt, step.__wrapped__)
    else:
        opt.step()


def import_dynamo_late() -> None:
    """Let optimizers be made, saved and loaded without importing ``torch._dynamo``.

    Torch keeps these methods out of traced graphs, for which it imports the tracer; as long as
    nobody else has imported it, nothing is traced.
    """
    for name in ("add_param_group", "load_state_dict", "state_dict"):
        _import_no_dynamo_in(getattr(vars(Optimizer)[name], "__wrapped__", None))


@contextmanager
def ddp_without_dynamo() -> Iterator[None]:
    """Inside, DistributedDataParallel can be made, and called later, without ``torch._dynamo``.

    As long as nobody else has imported it, nothing is traced.
    """
    if not ENABLED or DYNAMO in sys.modules:
        yield
        return
    from torch.nn.parallel import DistributedDataParallel

    forward: Any = getattr(DistributedDataParallel, DDP_FORWARD, None)
    _import_no_dynamo_in(unwrap(forward), recursive=False)
    mode = {DDP_MODE: lambda: DEFAULT_DDP_MODE}
    stand_in = _NotImported(DYNAMO, {"utils": _NotImported(f"{DYNAMO}.utils", mode)})
    name = DYNAMO.rpartition(".")[2]
    vars(torch)[name] = stand_in
    try:
        yield
    finally:
        if vars(torch)[name] is stand_in:  # else it was imported inside
            del vars(torch)[name]


class _NotImported:
    """Stands in for a module, of which a few attributes are known; all others import it."""

    def __init__(self, module: str, known: dict[str, Any]) -> None:
        self._module = module
        vars(self).update(known)

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._module), name)


def _import_no_dynamo_in(function: Callable[..., Any] | None, recursive: bool = True) -> None:
    """If there is such a function: it is called as it is, for as long as nothing is traced."""
    if function is not None and not hasattr(function, NOT_TRACED):
        setattr(function, NOT_TRACED, _traced_by_none(function, recursive))


def _traced_by_none(method: Callable[..., Any], recursive: bool = True) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if DYNAMO not in sys.modules:
            return method(*args, **kwargs)
        disable: Any = torch._dynamo.disable
        not_traced = disable(method, recursive, wrapping=False)
        setattr(method, NOT_TRACED, not_traced)
        return not_traced(*args, **kwargs)

    return call


def _step_in_grad_mode(opt: Any, step: Any) -> None:
    """Without a tracer, there is no graph to break."""
    if DYNAMO not in sys.modules and getattr(step, "__code__", None) is _GRAD_MODE_CODE:
        with torch.set_grad_enabled(opt.defaults["differentiable"]):
            step.__wrapped__(opt)
    else:
        step(opt)


def _code_of_grad_mode_decorator() -> Any:
    decorator = getattr(optimizer, GRAD_MODE_DECORATOR, None)
    return None if decorator is None else decorator(fast_step).__code__


def _overrides_zero_grad(opt: Optimizer) -> bool:
    return getattr(type(opt), "zero_grad", None) is not _ZERO_GRAD or "zero_grad" in vars(opt)


def _is_torch_wrapper(step: Any) -> bool:
    """Whether it is torch's own wrapper; a wrapper around that one carries the same attributes."""
    is_wrapper = getattr(step, PROFILED, False) and hasattr(step, "__wrapped__")
    return is_wrapper and getattr(step, "__globals__", None) is vars(optimizer)


def _needs_wrapper(opt: Any, step: Any) -> bool:
    """A missing attribute counts as an active profiler or hook."""
    return bool(
        getattr(profiler, PROFILER_FLAG, True)
        or any(getattr(opt, name, True) for name in OWN_HOOKS)
        or any(getattr(optimizer, name, True) for name in GLOBAL_HOOKS)
        or _has_instance_step(opt, step)
    )


def _has_instance_step(opt: Any, step: Any) -> bool:
    """Of a scheduler's, which only marks that a step was made, the mark is enough."""
    own = vars(opt).get("step")
    return own is not None and not (
        getattr(own, WRAPPED_BY_SCHEDULER, False)
        and getattr(own, "__wrapped__", None) is step  # else there is another wrapper in or around
    )


_GRAD_MODE_CODE = _code_of_grad_mode_decorator()
if ENABLED:
    import_dynamo_late()
