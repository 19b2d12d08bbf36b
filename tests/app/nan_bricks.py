"""A data set with a sample that is not finite, and a model whose buffers it would spoil."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

import legoloop as ll


def points(spoilt: int, samples: int = 96) -> ll.ColumnDataset:
    """Points as the XOR data have them; the ``idx`` of sample n is 1000 + n."""
    features = torch.randn(samples, 2, generator=torch.Generator().manual_seed(0))
    target = (features.prod(dim=1) > 0).float()
    features[spoilt, 0] = torch.nan
    columns = {"features": features, "target": target, "idx": torch.arange(samples) + 1000}
    return ll.ColumnDataset(
        columns, task="binary", num_outputs=1, num_features=2, input_key="features"
    )


class Normed(nn.Module):
    """``features`` (samples, 2) to ``logits`` (samples,)."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(num_features), nn.Linear(num_features, 8), nn.ReLU(), nn.Linear(8, 1)
        )

    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {"logits": self.layers(batch["features"])[:, 0]}
