"""What numbers a model computes in."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["fp32", "bf16", "fp16", "auto"]
PRECISIONS = ("fp32", "bf16", "fp16", "auto")


def number_type(precision: Precision, device: torch.device) -> torch.dtype | None:
    """The type that a precision stands for on a device; None: that of the weights.

    >>> number_type("bf16", torch.device("cpu"))
    torch.bfloat16
    """
    if precision == "auto":
        return torch.bfloat16 if has_bf16(device) else None
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def has_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 in hardware, instead of by way of float32.

    >>> has_bf16(torch.device("meta"))
    False
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        able = torch.cpu.get_capabilities()
        return bool(able.get("amx_bf16") or able.get("avx512_bf16"))
    return False


def grad_scaler(device: torch.device) -> torch.amp.GradScaler:
    """What keeps small gradients of fp16 from becoming 0: it scales the loss, and them back.

    >>> grad_scaler(torch.device("cpu")).get_scale()
    65536.0
    """
    return torch.amp.GradScaler(device.type)
