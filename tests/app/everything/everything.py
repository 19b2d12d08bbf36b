"""The bricks of a user who has everything on: data, a model, a loss, and what kills the run."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.faults.calls import Calls, killed_before

KILL_AT = "KILL_AT"
"""``batch_end:13``: when that is heard the 13th time; ``call:60``: before that call to the disk."""


class Strokes:
    """Images and sequences of different lengths, all of them with numbers drawn anew."""

    task, num_outputs, num_features, input_key = "multiclass", 3, 64, "image"
    image_shape = (1, 8, 8)

    def __init__(self, samples: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.image = torch.rand(samples, *self.image_shape, generator=generator)
        self.target = torch.randint(3, (samples,), generator=generator)

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, item: int) -> dict[str, Any]:
        label = int(self.target[item])
        image = self.image[item] + 0.1 * (random.random() + np.random.rand())
        image[0, 2 * label : 2 * label + 2] += 0.1
        strokes = torch.randint(1, 9, (1 + item % 5,))
        return {"idx": 7 * item, "image": image, "strokes": strokes, "target": label}


class LooksAndReads(nn.Module):
    """``image`` (samples, 1, 8, 8) and padded ``strokes`` (samples, longest) to ``logits``."""

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2)
        )
        self.read = nn.Embedding(9, 4, padding_idx=0)
        self.name = nn.Sequential(nn.Dropout(0.2), nn.Linear(8 * 16 + 4, num_outputs))

    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        read = self.read(batch["strokes"]).sum(dim=1)
        looked = self.look(batch["image"]).flatten(1)
        return {"logits": self.name(torch.cat([looked, read.to(looked.dtype)], dim=1))}


def size_of_logits(batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
    """One value per sample."""
    return outputs["logits"].float().square().mean(dim=1)


class Dies:
    """Kills the process at the moment that the environment names, if it names one."""

    def __init__(self, run_dir: str) -> None:
        self.where, _, number = os.environ.get(KILL_AT, "").partition(":")
        self.left = int(number or 0)
        if self.where == "call":
            for kept in Path(run_dir).parent.glob("*.kept*"):  # by an attempt before
                kept.unlink()
            Calls(run_dir, killed_before(self.left)).install()

    def epoch_start(self) -> None:
        self._heard("epoch_start")

    def batch_start(self, step: Any) -> None:
        self._heard("batch_start")

    def batch_end(self, step: Any) -> None:
        self._heard("batch_end")

    def epoch_end(self) -> None:
        self._heard("epoch_end")

    def train_end(self) -> None:
        self._heard("train_end")

    def _heard(self, stage: str) -> None:
        if stage == self.where:
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)
