"""MNIST as tensors, read without legoloop, from ``$LEGOLOOP_DATA/mnist``, ``data/mnist`` or
``data``."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import torch

FOLDERS = ("data/mnist", "data")
FILES = {True: "train", False: "t10k"}


def read(train: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """``images`` (samples, 28, 28) uint8 and ``labels`` (samples,) int64."""
    split = FILES[train]
    images = _read(f"{split}-images-idx3-ubyte", header=16).reshape(-1, 28, 28)
    return images, _read(f"{split}-labels-idx1-ubyte", header=8).long()


def write(folder: Path, samples: int) -> None:
    """Noise, in files of the same form."""
    draw = np.random.default_rng(0)
    (folder / "mnist").mkdir()
    for split in FILES.values():
        images = draw.integers(0, 256, (samples, 28, 28), dtype=np.uint8)
        labels = draw.integers(0, 10, samples, dtype=np.uint8)
        for name, values in ("images-idx3", images), ("labels-idx1", labels):
            header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
            file = folder / "mnist" / f"{split}-{name}-ubyte"
            file.write_bytes(header + values.tobytes())


def _read(name: str, header: int) -> torch.Tensor:
    folders = [Path(os.environ.get("LEGOLOOP_DATA", "data")) / "mnist", *map(Path, FOLDERS)]
    for folder in folders:
        for file, opened in ((folder / name, open), (folder / f"{name}.gz", gzip.open)):
            if file.exists():
                with opened(file, "rb") as content:
                    return torch.frombuffer(bytearray(content.read()), dtype=torch.uint8)[header:]
    raise FileNotFoundError(f"no {name} in {', '.join(map(str, folders))}")
