"""One step of an optimizer on a row: SGD, Adam and AdamW.

The kernels are functions of torch that are private; all of them are called here. Without them, and
with ``LEGOLOOP_TORCH_SHORTCUTS=0`` in the environment, an optimizer of torch makes the step.
"""

from __future__ import annotations

from collections.abc import Mapping
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

Row = dict[str, list[torch.Tensor]]
"""Tensors by name, each as the list of one that a kernel takes."""


def has_kernel(kind: type[torch.optim.Optimizer], device: torch.device) -> bool:
    """Whether there is a fused kernel for an optimizer on a device.

    >>> has_kernel(torch.optim.Adam, torch.device("meta"))
    False
    """
    return ENABLED and hasattr(torch, KERNELS[kind]) and device.type in KERNEL_DEVICES


def take_row_step(
    kind: type[torch.optim.Optimizer],
    row: Row,
    settings: Mapping[str, Any],
    is_first: bool,
    is_fused: bool = False,
) -> None:
    """Step weights that lie in one row, in place.

    Args:
        kind: SGD, Adam or AdamW.
        row: ``weight``, ``gradient`` and the moments, shape (elements,) each, and ``step``, how
            many were made, a scalar.
        settings: the parameter group of an optimizer, as it is now.
        is_first: whether there are no moments yet.
        is_fused: whether the kernel makes it, or an optimizer of torch.

    >>> row = {name: [torch.ones(2)] for name in ("weight", "gradient", "momentum_buffer")}
    >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=0.25)
    >>> take_row_step(torch.optim.SGD, row, sgd.param_groups[0], is_first=True, is_fused=True)
    >>> row["weight"]
    [tensor([0.7500, 0.7500])]
    """
    if not is_fused:
        _take_public_step(kind, row, settings, is_first)
        return
    kernel: Any = getattr(torch, KERNELS[kind])
    if kind is torch.optim.SGD:
        has_momentum = settings["momentum"] != 0
        kernel(
            row["weight"],
            row["gradient"],
            row["momentum_buffer"] if has_momentum else [],
            weight_decay=settings["weight_decay"],
            momentum=settings["momentum"],
            lr=float(settings["lr"]),
            dampening=settings["dampening"],
            nesterov=settings["nesterov"],
            maximize=False,
            is_first_step=is_first and has_momentum,
        )
    else:
        row["step"][0].add_(1)
        beta1, beta2 = settings["betas"]
        kernel(
            row["weight"],
            row["gradient"],
            row["exp_avg"],
            row["exp_avg_sq"],
            [],
            row["step"],
            lr=float(settings["lr"]),
            beta1=float(beta1),
            beta2=float(beta2),
            weight_decay=settings["weight_decay"],
            eps=settings["eps"],
            amsgrad=False,
            maximize=False,
        )


def _take_public_step(
    kind: type[torch.optim.Optimizer], row: Row, settings: Mapping[str, Any], is_first: bool
) -> None:
    """The same by an optimizer of torch that is made for it: several times slower."""
    weight = nn.Parameter(row["weight"][0])
    weight.grad = row["gradient"][0]
    known = signature(kind).parameters.keys() - {"params", "fused", "foreach"}
    opt = kind([weight], **{name: settings[name] for name in known & settings.keys()})
    kept = ("step", *MOMENTS[kind])
    if not is_first:
        opt.state[weight] = {name: row[name][0] for name in kept if name in row}
    opt.step()
    for name, value in opt.state[weight].items():
        if value is not None and value is not row[name][0]:
            row[name][0].copy_(value)
