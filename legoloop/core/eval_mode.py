"""Evaluate without side effects: train flags, buffers and generators are restored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from legoloop.core.buffer_snapshot import BufferSnapshot
from legoloop.core.evaluated_weights import evaluated_weights
from legoloop.core.ranks import current_ranks
from legoloop.core.rng import preserved_rng


@contextmanager
def preserved_train_flags(models: Iterable[nn.Module]) -> Iterator[list[nn.Module]]:
    """Restores the train flag of every module at the end, whatever is set inside.

    Yields a list, which then has the modules whose flag had been changed.

    >>> model = nn.Dropout()
    >>> with preserved_train_flags([model]) as changed:
    ...     model.eval().training
    False
    >>> model.training, changed
    (True, [Dropout(p=0.5, inplace=False)])
    """
    flags = {module: module.training for model in models for module in model.modules()}
    changed: list[nn.Module] = []
    try:
        yield changed
    finally:
        for module, flag in flags.items():
            if module.training != flag:
                module.training = flag
                changed.append(module)


@contextmanager
def untouched(called: object) -> Iterator[None]:
    """Without gradients; what is called, a module or not, draws nothing and stays as it is.

    A module is in evaluation mode; its train flags and buffers are restored, and the generators.

    Args:
        called: a loss or a model; anything but a module has no flags and no buffers.

    >>> class Counts(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.register_buffer("calls", torch.zeros(()))
    ...     def forward(self): self.calls += 1
    >>> loss = Counts()
    >>> with untouched(loss):
    ...     loss()
    >>> loss.calls.item(), loss.training
    (0.0, True)
    """
    modules = [called] if isinstance(called, nn.Module) else []
    snapshots = [snapshot for module in modules for snapshot in BufferSnapshot.of(module)]
    for snapshot in snapshots:
        snapshot.save()
    absent = [
        (part._buffers, name)
        for module in modules
        for part in module.modules()
        for name, buffer in part._buffers.items()
        if buffer is None
    ]
    with preserved_rng(), preserved_train_flags(modules), torch.no_grad():
        for module in modules:
            module.eval()
        try:
            yield
        finally:
            for snapshot in snapshots:
                snapshot.restore()
            for buffers, name in absent:  # a module may have filled it
                buffers[name] = None


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """``model.eval()`` without gradients; train flags, buffers and generators are restored.

    For a plugin that calls the model itself, at any stage: the training goes on as if nobody had.
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
    ranks = current_ranks()
    with untouched(model):
        ranks.sync_buffers(model)
        with evaluated_weights(model), ranks.whole_weights(model):
            yield
