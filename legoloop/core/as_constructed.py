"""What an object was constructed with, written down so that two processes can compare it.

torch's state dicts hold settings beside what was learnt: learning rates, ``T_max``, growth factors.
A resumed run takes what was learnt from the checkpoint and settings from the configuration, so a
saved value counts only where the object was constructed with the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from types import FunctionType, MethodType
from typing import Any
from weakref import ReferenceType

import numpy as np
import torch

MAX_DEPTH = 8
MAX_LENGTH = 200
"""A longer description is replaced by its digest."""


def describe(value: Any) -> str:
    """A value as a text that is the same in another process if the value is.

    Numbers, texts, containers, tensors and functions are described by what they hold; an object
    that can be called, and a scheduler, by its class and attributes; any other by its class alone.

    >>> describe({"lr": 0.1, "betas": (0.9, 0.99)})
    '{lr: 0.1, betas: (0.9, 0.99)}'
    >>> describe(lambda epoch: 0.9) == describe(lambda epoch: 0.8)
    False
    """
    return _shortened(_described(value, 0))


def described_settings(values: Mapping[str, Any]) -> dict[str, str]:
    """Each value of a mapping described, but for the optimizer that a scheduler holds.

    >>> described_settings({"patience": 3})
    {'patience': '3'}
    """
    return {key: describe(value) for key, value in values.items() if key != "optimizer"}


def reconciled(
    saved: Mapping[str, Any],
    then: Mapping[str, str],
    now: Mapping[str, str],
    current: Mapping[str, Any],
) -> dict[str, Any]:
    """A saved state in which the values that are constructed otherwise now are the current ones.

    Args:
        saved: the state that was saved.
        then: the settings that its object was constructed with, described.
        now: those of the object that is to load it.
        current: the state of that object, as constructed.

    >>> state = {"lr": 0.001, "momentum": 0.8}  # a schedule has lowered both
    >>> then, now = {"lr": "0.1", "momentum": "0.9"}, {"lr": "0.5", "momentum": "0.9"}
    >>> reconciled(state, then, now, current={"lr": 0.5, "momentum": 0.9})
    {'lr': 0.5, 'momentum': 0.8}
    """
    changed = {key for key in current if key not in saved or then.get(key) != now.get(key)}
    gone = {key for key in saved if key in then and key not in current}
    merged = {**saved, **{key: current[key] for key in current if key in changed}}
    return {key: value for key, value in merged.items() if key not in gone}


def class_name(value: object) -> str:
    """The module and name of an object's class.

    >>> class_name(torch.Generator())
    'torch._C.Generator'
    """
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _described(value: Any, depth: int) -> str:
    deeper = depth + 1
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic):
        return repr(value)
    if depth > MAX_DEPTH or isinstance(value, ReferenceType | torch.optim.Optimizer):
        return class_name(value)
    if isinstance(value, torch.Tensor) and value.layout is torch.strided:
        return _described_tensor(value)
    if isinstance(value, np.ndarray) and value.dtype != object:
        return _described_tensor(torch.as_tensor(value))
    if isinstance(value, Mapping):
        inner = (f"{key}: {_described(item, deeper)}" for key, item in value.items())
        return f"{{{', '.join(inner)}}}"
    if isinstance(value, list | tuple):
        return f"({', '.join(_described(item, deeper) for item in value)})"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(_described(item, deeper) for item in value))}}}"
    if isinstance(value, partial):
        return f"partial{_described([value.func, value.args, value.keywords], deeper)}"
    if isinstance(value, MethodType):
        return _described(value.__func__, deeper)
    if isinstance(value, FunctionType):
        return _described_function(value, deeper)
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if callable(value) or isinstance(value, torch.optim.lr_scheduler.LRScheduler):
        attributes = {k: v for k, v in getattr(value, "__dict__", {}).items() if k != "optimizer"}
        return f"{class_name(value)}{_described(attributes, deeper)}"
    return class_name(value)


def _described_tensor(tensor: torch.Tensor) -> str:
    on_cpu = tensor.detach().cpu().contiguous()
    shown = str(on_cpu.tolist())
    if on_cpu.numel() > 4:
        content = on_cpu.flatten().view(torch.uint8).numpy().tobytes()
        shown = hashlib.sha256(content).hexdigest()[:16]
    return f"{on_cpu.dtype} {tuple(on_cpu.shape)} {shown}"


def _described_function(function: FunctionType, depth: int) -> str:
    """By its name and what it computes: its code, the values in it, and those that it closes on."""
    code = function.__code__
    constants = [constant for constant in code.co_consts if not hasattr(constant, "co_code")]
    closed_on = list(_closed_on(function))
    inside = [code.co_code, constants, function.__defaults__, closed_on]
    return f"{function.__module__}.{function.__qualname__}{_shortened(_described(inside, depth))}"


def _closed_on(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not assigned yet
            yield None


def _shortened(text: str) -> str:
    if len(text) <= MAX_LENGTH:
        return text
    return f"{text[:40]}… sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]}"
