"""What a loss may return: a scalar, or one value per sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from legoloop.core.batch_size import DefaultBatchDesc, SizedBatch
from legoloop.core.errors import DataError
from legoloop.core.nested import named_tensors
from legoloop.core.protocols import Batch, Outputs
from legoloop.core.text import shorten

MAX_SHOWN = 8


def check_losses(
    losses: Any,
    batch: Batch,
    outputs: Outputs,
    size: int | None = None,
    name: str = "the loss",
) -> None:
    """Raises DataError unless it is a float tensor, a scalar or of shape (batch,).

    Torch broadcasts (batch, 1) and (batch,) to (batch, batch), whose mean is a number like any
    other; and the mean of some of the samples is not that of its micro-batches.

    Args:
        losses: what a loss returned.
        batch: the batch that it was given.
        outputs: the outputs that it was given.
        size: the size of a batch that does not know its number of samples, as the epoch counts it;
            None: any number of values may be right then.
        name: what the message calls it.

    >>> check_losses(torch.ones(2, 2), {"x": [3, 4]}, {"y": torch.ones(2, 1)})
    Traceback (most recent call last):
    legoloop.core.errors.DataError: the loss has shape (2, 2) for a batch of 2 samples; return a \
scalar, or one value per sample, shape (2,); outputs: 'y' (2, 1); batch: no tensors
    """
    if not isinstance(losses, torch.Tensor):
        raise DataError(
            f"{name} is of type {type(losses).__name__}; give a tensor: a scalar, or one "
            "value per sample"
        )
    if not losses.is_floating_point():
        raise DataError(f"{name} is of {losses.dtype}; give a tensor of floats")
    shape = losses.shape
    if not shape or (isinstance(batch, SizedBatch) and shape == (batch.num_samples,)):
        return
    samples = DefaultBatchDesc()(batch) if isinstance(batch, Mapping) else size
    otherwise = shape[0] if size is None else size
    if len(shape) > 1 or shape[0] not in (
        [samples] if isinstance(batch, SizedBatch) else [samples, otherwise]
    ):
        raise DataError(
            f"{name} has shape {tuple(shape)} for a batch of {samples} samples; return a "
            f"scalar, or one value per sample, shape ({samples},); "
            f"outputs: {_shapes(outputs)}; batch: {_shapes(batch)}"
        )


def _shapes(values: Any) -> str:
    shapes = [f"'{name}' {tuple(tensor.shape)}" for name, tensor in named_tensors(values)]
    return shorten(shapes, MAX_SHOWN) if shapes else "no tensors"
