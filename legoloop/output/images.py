"""Images as arrays and as PNG."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Protocol, runtime_checkable

import numpy as np

Picture = np.ndarray[Any, Any]
"""Shape (height, width, 3), uint8."""


@runtime_checkable
class ImageSource(Protocol):
    """Has images to report; TensorBoard reads them after each epoch and at the end."""

    def images(self) -> Mapping[str, Picture]:
        """The newest images by tag; empty when nothing is new."""
        ...


def png(picture: Picture) -> bytes:
    """The image as the content of a PNG file.

    >>> png(np.zeros((2, 2, 3), np.uint8))[1:4]
    b'PNG'
    """
    from PIL import Image

    file = BytesIO()
    Image.fromarray(picture).save(file, format="png")
    return file.getvalue()


def size_of(content: bytes) -> tuple[int, int]:
    """Width and height in the header of a PNG file.

    >>> size_of(png(np.zeros((2, 3, 3), np.uint8)))
    (3, 2)
    """
    width, height = struct.unpack(">II", content[16:24])
    return width, height
