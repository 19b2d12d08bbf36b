"""The two networks."""

from __future__ import annotations

import torch
from torch import nn


class Generator(nn.Module):
    """Noise (batch, noise) to images (batch, 1, 8, 8) from 0 to 1."""

    def __init__(self, noise=16, width=128):
        super().__init__()
        self.noise = noise
        self.layers = nn.Sequential(
            *(nn.Linear(noise, width), nn.LeakyReLU(0.2)),
            *(nn.Linear(width, width), nn.LeakyReLU(0.2)),
            *(nn.Linear(width, 64), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8))),
        )

    def forward(self, batch):
        return {"image": self.layers(batch["noise"])}

    def drawn(self, count, device):
        """So many new images."""
        return self({"noise": torch.randn(count, self.noise, device=device)})["image"]


class Discriminator(nn.Module):
    """Images to one logit each, for being real."""

    def __init__(self, width=128, dropout=0.3):
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Flatten(), nn.Linear(64, width), nn.LeakyReLU(0.2), nn.Dropout(dropout)),
            *(nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Dropout(dropout)),
            nn.Linear(width, 1),
        )

    def forward(self, image):
        return self.layers(image).squeeze(1)
