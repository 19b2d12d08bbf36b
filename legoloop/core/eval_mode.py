"""Evaluate without side effects: train flags, buffers and generators are restored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from legoloop.core.buffer_snapshot import BufferSnapshot
from legoloop.core.evaluated_weights import evaluated_weights
from legoloop.core.ranks import current_ranks
from legoloop.core.rng import preserved_rng


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """``model.eval()`` without gradients; train flags, buffers and generators are restored.

    Several ranks enter it together: inside, all have the buffers of rank 0.

    Args:
        model (nn.Module): the model; every module keeps its own train flag.

    >>> model = nn.Sequential(nn.Dropout(), nn.Linear(1, 1).eval())
    >>> with evaluation_mode(model):
    ...     model[0].training
    False
    >>> model[0].training, model[1].training
    (True, False)
    """
    training = {module: module.training for module in model.modules()}
    snapshots = BufferSnapshot.of(model)
    for snapshot in snapshots:
        snapshot.save()
    absent = [
        (module._buffers, name)
        for module in training
        for name, buffer in module._buffers.items()
        if buffer is None
    ]
    ranks = current_ranks()
    with preserved_rng(), torch.no_grad():
        model.eval()
        try:
            ranks.sync_buffers(model)
            with evaluated_weights(model), ranks.whole_weights(model):
                yield
        finally:
            for module, flag in training.items():
                module.training = flag
            for snapshot in snapshots:
                snapshot.restore()
            for buffers, name in absent:  # a module may have filled it
                buffers[name] = None
