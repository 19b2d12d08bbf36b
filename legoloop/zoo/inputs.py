"""Converts columns of a batch to the input of a layer."""

from __future__ import annotations

import torch

from legoloop.core.arguments import require_key
from legoloop.core.errors import DataError
from legoloop.core.protocols import Batch


def flat_input(batch: Batch, key: str, num_features: int, dtype: torch.dtype) -> torch.Tensor:
    """A column of any shape as a matrix, shape (batch, features).

    Raises DataError if the batch has no such column, or another number of features.

    >>> flat_input({"image": torch.zeros(2, 4, 4)}, "image", 16, torch.float32).shape
    torch.Size([2, 16])
    """
    values = as_float(require_key(batch, key, "the batch"), dtype).flatten(1)
    if values.shape[1] != num_features:
        raise DataError(
            f"'{key}' has {values.shape[1]} values per sample; the model expects {num_features}"
        )
    return values


def image_input(
    batch: Batch, key: str, image_shape: tuple[int, ...], dtype: torch.dtype
) -> torch.Tensor:
    """A column of images, shape (batch, height, width) or (batch, channels, height, width), as the
    latter.

    Raises DataError if the batch has no such column, or its images have another shape.

    >>> image_input({"image": torch.zeros(2, 4, 4)}, "image", (1, 4, 4), torch.float32).shape
    torch.Size([2, 1, 4, 4])
    """
    images = require_key(batch, key, "the batch")
    if images.ndim == 3:
        images = images.unsqueeze(1)
    if images.shape[1:] != image_shape:
        raise DataError(
            f"'{key}' has images of shape {tuple(images.shape[1:])}; "
            f"the model expects {tuple(image_shape)}"
        )
    return as_float(images, dtype)


def as_float(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """uint8 scaled from 0..255 to 0..1; other numbers only converted.

    The model does this, so that images are copied to the device as bytes.

    >>> as_float(torch.tensor([0, 255], dtype=torch.uint8), torch.float32)
    tensor([0., 1.])
    """
    return values.to(dtype) / 255 if values.dtype == torch.uint8 else values.to(dtype)
