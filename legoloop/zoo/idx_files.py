"""IDX files: the format in which MNIST and its relatives come."""

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
    """The tensor in an IDX file, plain or gzipped: uint8, in the shape that its header names.

    Raises DataError, with the file and what is wrong, if it cannot be read, is not IDX, holds
    another type than uint8, or has fewer or more bytes than its header says.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "labels"
    >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3]) + bytes([7, 2, 1]))
    >>> read_idx(path)
    tensor([7, 2, 1], dtype=torch.uint8)
    """
    content = _content(Path(path))
    start, shape = _header(content, path)
    wanted = start + prod(shape)
    if len(content) != wanted:
        raise DataError(
            f"{path}: damaged or truncated: by its header, of shape {shape}, it has "
            f"{wanted:,} bytes, but there are {len(content):,}"
        )
    values = np.frombuffer(content, np.uint8, offset=start) if prod(shape) else np.empty(0, "u1")
    return torch.from_numpy(values.reshape(shape).copy())


def _content(path: Path) -> bytes:
    """The bytes, unpacked if they are gzip, whatever the file is called."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged or truncated gzip: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _header(content: bytes, path: str | os.PathLike[str]) -> tuple[int, tuple[int, ...]]:
    """Where the values start, and their shape."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[3] == 0:
        raise DataError(
            f"{path}: not an IDX file: it begins with the bytes '{content[:4].hex(' ')}', "
            "an IDX file with 00 00, a type code and the number of dimensions"
        )
    type_code, dimensions = content[2], content[3]
    if type_code != UINT8:
        raise DataError(f"{path}: its type code is 0x{type_code:02x}; only 0x08, uint8, is read")
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise DataError(
            f"{path}: damaged or truncated: a header of {dimensions} dimensions has {start} bytes, "
            f"but there are {len(content)}"
        )
    return start, struct.unpack(f">{dimensions}I", content[4:start])
