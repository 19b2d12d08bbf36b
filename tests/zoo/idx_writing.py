"""Tiny IDX files for the tests of their readers."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import torch


def idx_bytes(values: torch.Tensor, type_code: int = 8) -> bytes:
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, type_code, values.ndim, *values.shape)
    return header + bytes(values.flatten().tolist())


def write_pair(
    folder: Path,
    images: torch.Tensor,
    labels: torch.Tensor,
    split: str = "train",
    gz: bool = False,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in {"images-idx3": images, "labels-idx1": labels}.items():
        content = idx_bytes(values)
        path = folder / f"{split}-{name}-ubyte"
        if gz:
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content))
        else:
            path.write_bytes(content)


def images_of(samples: int, first: int = 0) -> torch.Tensor:
    """Distinct 28 by 28 images."""
    count = torch.arange(samples * 28 * 28) + first
    return (count % 251).to(torch.uint8).reshape(samples, 28, 28)


def labels_of(samples: int) -> torch.Tensor:
    return (torch.arange(samples) % 10).to(torch.uint8)


def everything_under(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
