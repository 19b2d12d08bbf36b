"""Looking does not change: it leaves model and generators as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from legoloop.core.buffer_snapshot import BufferSnapshot
from legoloop.core.rng import preserved_rng


@contextmanager
def looking(model: nn.Module) -> Iterator[None]:
    """Inside, the model evaluates without gradients; afterwards all of it is as it was.

    That is every flag, every buffer, and the generators.

    >>> model = nn.Sequential(nn.Dropout(), nn.Linear(1, 1).eval())
    >>> with looking(model):
    ...     model[0].training
    False
    >>> model[0].training, model[1].training
    (True, False)
    """
    training = {module: module.training for module in model.modules()}
    kept = BufferSnapshot.of(model)
    for buffers in kept:
        buffers.keep()
    absent = [
        (module._buffers, name)
        for module in training
        for name, buffer in module._buffers.items()
        if buffer is None
    ]
    with preserved_rng(), torch.no_grad():
        model.eval()
        try:
            yield
        finally:
            for module, flag in training.items():
                module.training = flag
            for buffers in kept:
                buffers.restore()
            for of_module, name in absent:  # a module may have filled it
                of_module[name] = None
