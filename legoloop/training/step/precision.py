"""Automatic mixed precision."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["fp32", "amp_bf16", "amp_fp16", "auto"]
PRECISIONS = ("fp32", "amp_bf16", "amp_fp16", "auto")


def autocast_dtype(precision: Precision, device: torch.device) -> torch.dtype | None:
    """The dtype of torch.autocast for a precision on a device; None: no autocast.

    >>> autocast_dtype("amp_bf16", torch.device("cpu"))
    torch.bfloat16
    """
    if precision == "auto":
        return torch.bfloat16 if has_bf16(device) else None
    return {"fp32": None, "amp_bf16": torch.bfloat16, "amp_fp16": torch.float16}[precision]


def has_bf16(device: torch.device) -> bool:
    """Whether a device supports bfloat16 in hardware, not only by emulation in float32.

    >>> has_bf16(torch.device("meta"))
    False
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    return False


def grad_scaler(device: torch.device) -> torch.amp.GradScaler:
    """The gradient scaler for ``amp_fp16``, so that small gradients do not underflow.

    Args:
        device: the device of the training.

    >>> grad_scaler(torch.device("cpu")).get_scale()
    65536.0
    """
    return torch.amp.GradScaler(device.type)
