"""Batches of single samples, as data sets of users serve them: ``python -m bench.samples torch N``.

Draws from ``torch``, ``random`` or ``nothing``; fetches N samples.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from itertools import islice
from typing import Any

import torch

import legoloop as ll

DRAWS = {"torch": lambda: torch.rand(()), "random": random.random, "nothing": lambda: 1.0}


class Images:
    """Images of digits' size, of which each sample transposes one half of the time."""

    def __init__(self, draw: str) -> None:
        self.draw = DRAWS[draw]
        self.images = torch.zeros(4096, 28, 28, dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, item: int) -> Mapping[str, Any]:
        image = (self.images[item].float() / 255).unsqueeze(0)
        return {"idx": item, "image": image.mT if self.draw() < 0.5 else image}


def main() -> None:
    """Fetch so many."""
    stream = ll.BatchStream(Images(sys.argv[1]), "train", 0, ll.LoaderConfig(batch_size=256))
    for _ in islice(stream, int(sys.argv[2]) // 256):
        pass


if __name__ == "__main__":
    main()
