"""A network whose hidden units are waves across the plane."""

from __future__ import annotations

from torch import nn


class SineNet(nn.Module):
    """Points (batch, features) to logits (batch, outputs), by way of ``width`` waves."""

    def __init__(self, num_features, num_outputs, width=64, frequency=4.0):
        super().__init__()
        self.waves = nn.Linear(num_features, width)
        self.logits = nn.Linear(width, num_outputs)
        self.frequency = frequency

    def forward(self, batch):
        return {"logits": self.logits((self.frequency * self.waves(batch["point"])).sin())}
