"""One step of an optimizer on rows: SGD, Adam and AdamW.

The kernels are functions of torch that are private; all of them are called here. Without them, and
with ``LEGOLOOP_TORCH_SHORTCUTS=0`` in the environment, an optimizer of torch makes the step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

import torch
from torch import nn

from legoloop.training.torch_shortcuts import ENABLED

MOMENTS: Mapping[type[torch.optim.Optimizer], tuple[str, ...]] = {
    torch.optim.SGD: ("momentum_buffer",),
    torch.optim.Adam: ("exp_avg", "exp_avg_sq"),
    torch.optim.AdamW: ("exp_avg", "exp_avg_sq"),
}
"""The optimizers that step on rows, and what they keep of each parameter."""
KERNELS = {
    torch.optim.SGD: "_fused_sgd_",
    torch.optim.Adam: "_fused_adam_",
    torch.optim.AdamW: "_fused_adamw_",
}
KERNEL_DEVICES = ("cpu", "cuda")
_OF_ADAM = ("weight_decay", "betas", "eps")
_NUMBERS = {
    torch.optim.SGD: ("weight_decay", "momentum", "dampening", "nesterov"),
    torch.optim.Adam: _OF_ADAM,
    torch.optim.AdamW: _OF_ADAM,
}

Row = Mapping[str, torch.Tensor]
"""What an optimizer steps on, by name."""


def has_kernel(kind: type[torch.optim.Optimizer], device: torch.device) -> bool:
    """Whether there is a fused kernel for an optimizer on a device.

    >>> has_kernel(torch.optim.Adam, torch.device("meta"))
    False
    """
    return ENABLED and hasattr(torch, KERNELS[kind]) and device.type in KERNEL_DEVICES


def take_row_steps(
    kind: type[torch.optim.Optimizer],
    rows: Sequence[Row],
    settings: Mapping[str, Any],
    is_first: bool,
    is_fused: bool = False,
) -> None:
    """Step weights that lie in rows, in place; several rows of the same settings at once.

    The numbers of a row do not depend on what other rows there are.

    Args:
        kind: SGD, Adam or AdamW.
        rows: of each ``weight``, ``gradient`` and the moments, shape (elements,) each, and
            ``step``, how many were made, a scalar.
        settings: the parameter group of an optimizer, as it is now.
        is_first: whether there are no moments yet.
        is_fused: whether the kernel makes it, or an optimizer of torch.

    >>> row = {name: torch.ones(2) for name in ("weight", "gradient", "momentum_buffer")}
    >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=0.25)
    >>> take_row_steps(torch.optim.SGD, [row], sgd.param_groups[0], is_first=True, is_fused=True)
    >>> row["weight"]
    tensor([0.7500, 0.7500])
    """
    if not is_fused:
        for row in rows:
            _take_public_step(kind, row, settings, is_first)
        return
    kernel: Any = getattr(torch, KERNELS[kind])
    each = {name: [row[name] for row in rows] for name in rows[0]}
    if kind is torch.optim.SGD:
        has_momentum = settings["momentum"] != 0
        kernel(
            each["weight"],
            each["gradient"],
            each["momentum_buffer"] if has_momentum else [],
            weight_decay=settings["weight_decay"],
            momentum=settings["momentum"],
            lr=float(settings["lr"]),
            dampening=settings["dampening"],
            nesterov=settings["nesterov"],
            maximize=False,
            is_first_step=is_first and has_momentum,
        )
    else:
        torch._foreach_add_(each["step"], 1)
        beta1, beta2 = settings["betas"]
        kernel(
            each["weight"],
            each["gradient"],
            each["exp_avg"],
            each["exp_avg_sq"],
            [],
            each["step"],
            lr=float(settings["lr"]),
            beta1=float(beta1),
            beta2=float(beta2),
            weight_decay=settings["weight_decay"],
            eps=settings["eps"],
            amsgrad=False,
            maximize=False,
        )


def numbers_of(kind: type[torch.optim.Optimizer], settings: Mapping[str, Any]) -> tuple[Any, ...]:
    """Equal for parameter groups whose rows can be stepped at once.

    >>> adam = torch.optim.Adam([torch.zeros(1)], lr=0.5)
    >>> numbers_of(torch.optim.Adam, adam.param_groups[0])
    (0.5, 0, (0.9, 0.999), 1e-08)
    """
    return (float(settings["lr"]), *[settings[name] for name in _NUMBERS[kind]])


def _take_public_step(
    kind: type[torch.optim.Optimizer], row: Row, settings: Mapping[str, Any], is_first: bool
) -> None:
    """The same by an optimizer of torch that is made for it: several times slower."""
    weight = nn.Parameter(row["weight"])
    weight.grad = row["gradient"]
    known = signature(kind).parameters.keys() - {"params", "fused", "foreach"}
    opt = kind([weight], **{name: settings[name] for name in known & settings.keys()})
    kept = ("step", *MOMENTS[kind])
    if not is_first:
        opt.state[weight] = {name: row[name] for name in kept if name in row}
    opt.step()
    for name, value in opt.state[weight].items():
        if value is not None and value is not row[name]:
            row[name].copy_(value)
