"""Pictures as arrays and as PNG."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Protocol, runtime_checkable

import numpy as np

Picture = np.ndarray[Any, Any]
"""(height, width, 3) uint8."""


@runtime_checkable
class ImageSource(Protocol):
    """Has pictures to report; TensorBoard reads them whenever it reports."""

    def images(self) -> Mapping[str, Picture]:
        """The newest pictures by tag; empty when nothing is new."""
        ...


def png(picture: Picture) -> bytes:
    """The picture as a PNG file.

    >>> png(np.zeros((2, 2, 3), np.uint8))[1:4]
    b'PNG'
    """
    from PIL import Image

    file = BytesIO()
    Image.fromarray(picture).save(file, format="png")
    return file.getvalue()


def size_of(content: bytes) -> tuple[int, int]:
    """The width and height that a PNG file tells of itself.

    >>> size_of(png(np.zeros((2, 3, 3), np.uint8)))
    (3, 2)
    """
    width, height = struct.unpack(">II", content[16:24])
    return width, height
