"""Reads IDX files, the format of MNIST."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from math import prod
from pathlib import Path

import numpy as np
import torch

from legoloop.core.errors import DataError

UINT8 = 0x08
GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: str | os.PathLike[str]) -> torch.Tensor:
    """Read an IDX file, plain or gzipped, as a uint8 tensor of the shape in its header.

    Args:
        path: the file.

    Raises:
        DataError: if it cannot be read, is not an IDX file of uint8, or its size is not the one
            that the header implies.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "labels"
    >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3]) + bytes([7, 2, 1]))
    >>> read_idx(path)
    tensor([7, 2, 1], dtype=torch.uint8)
    """
    content = _content(Path(path))
    start, shape = _header(content, path)
    expected = start + prod(shape)
    if len(content) != expected:
        raise DataError(
            f"{path}: damaged or truncated: a header of shape {shape} implies "
            f"{expected:,} bytes, but the file has {len(content):,}"
        )
    values = np.frombuffer(content, np.uint8, offset=start) if prod(shape) else np.empty(0, "u1")
    return torch.from_numpy(values.reshape(shape).copy())


def _content(path: Path) -> bytes:
    """The bytes, decompressed if they are gzip, whatever the name of the file."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged or truncated gzip: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _header(content: bytes, path: str | os.PathLike[str]) -> tuple[int, tuple[int, ...]]:
    """The offset of the values, and their shape."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[3] == 0:
        raise DataError(
            f"{path}: not an IDX file: it begins with the bytes '{content[:4].hex(' ')}', "
            "an IDX file with 00 00, a type code and the number of dimensions"
        )
    type_code, dimensions = content[2], content[3]
    if type_code != UINT8:
        raise DataError(
            f"{path}: type code 0x{type_code:02x} is not supported; only 0x08, uint8, is"
        )
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise DataError(
            f"{path}: damaged or truncated: a header of {dimensions} dimensions has {start} bytes, "
            f"but the file has {len(content)}"
        )
    return start, struct.unpack(f">{dimensions}I", content[4:start])
