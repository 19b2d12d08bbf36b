"""The step of an optimizer, without what torch does around it for those who listen."""

from __future__ import annotations

from typing import Any

from torch.autograd import profiler
from torch.optim import Optimizer, optimizer


def fast_step(opt: Optimizer) -> None:
    """What ``opt.step()`` does, at a third less for a small model unless somebody listens.

    Around each step torch opens a record for its profiler, whether one runs or not, which takes
    half as long as a fused Adam of a few thousand weights. A profiler, a hook, and an optimizer
    whose ``step`` is somebody's own get all of it.

    >>> import torch
    >>> weight = torch.ones(1, requires_grad=True)
    >>> weight.grad = torch.ones(1)
    >>> fast_step(torch.optim.SGD([weight], lr=0.25))
    >>> weight.detach()
    tensor([0.7500])
    """
    step: Any = getattr(type(opt), "step", None)
    if _is_recorded(step) and not _is_listened_to(opt, step):
        step.__wrapped__(opt)
    else:
        opt.step()


def _is_recorded(step: Any) -> bool:
    """Whether it is what torch put around a step; what wraps that in turn bears its marks alike."""
    return getattr(step, "hooked", False) and getattr(step, "__globals__", 0) is vars(optimizer)


def _is_listened_to(opt: Any, step: Any) -> bool:
    """These names are torch's own; one that goes some day counts as somebody who listens."""
    return bool(
        getattr(profiler, "_is_profiler_enabled", True)
        or getattr(opt, "_optimizer_step_pre_hooks", True)
        or getattr(opt, "_optimizer_step_post_hooks", True)
        or getattr(optimizer, "_global_optimizer_pre_hooks", True)
        or getattr(optimizer, "_global_optimizer_post_hooks", True)
        or _has_a_step_of_its_own(opt, step)
    )


def _has_a_step_of_its_own(opt: Any, step: Any) -> bool:
    """A scheduler gives it one too, which only notes that a step was made: it has by the second."""
    own = vars(opt).get("step")
    return own is not None and not (
        getattr(own, "_wrapped_by_lr_sched", False)
        and getattr(own, "__wrapped__", None) is step  # else one more is in it, or around it
        and getattr(opt, "_opt_called", False)
    )
