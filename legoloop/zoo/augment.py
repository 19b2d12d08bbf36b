"""Data augmentation of whole batches."""

from __future__ import annotations

import torch

from legoloop.core.arguments import probability, require_key
from legoloop.core.errors import DataError
from legoloop.core.protocols import Batch


class RandomTranspose:
    """Batch transform that swaps height and width of each square image with probability ``p``.

    It draws from the ``generator`` that the loaders pass, else from torch's global one, and always
    on the CPU, so that the result does not depend on the device of the batch.

    Args:
        p: probability, 0 to 1.
        key: column of the batch with the images, shape (batch, …, side, side).

    Raises:
        ArgumentError: if ``p`` is out of range.
        DataError: if the batch has no such column, or images that are not square.

    >>> RandomTranspose(p=1.0)({"image": torch.tensor([[[1, 2], [3, 4]]])})["image"].tolist()
    [[[1, 3], [2, 4]]]
    """

    def __init__(self, p: float = 0.5, key: str = "image") -> None:
        probability(p=p)
        self.p = p
        self.key = key

    def __call__(self, batch: Batch, generator: torch.Generator | None = None) -> Batch:
        """Return the batch with some of its images transposed."""
        images = require_key(batch, self.key, "the batch")
        height, width = images.shape[-2:]
        if height != width:
            raise DataError(
                f"'{self.key}' has images of {height} by {width}; only square images "
                "can be transposed within a batch"
            )
        swapped = torch.rand(len(images), generator=generator) < self.p
        swapped = swapped.to(images.device, non_blocking=True).view(-1, *[1] * (images.ndim - 1))
        return {**batch, self.key: torch.where(swapped, images.mT, images)}
