"""A network of two parts."""

from __future__ import annotations

import torch
from torch import nn


class Net(nn.Module):
    """Images (batch, 64) to logits; the backbone may be that of weights saved before."""

    def __init__(self, num_outputs, backbone_of=None):
        super().__init__()
        self.backbone = nn.Sequential(
            *(nn.Linear(64, 128), nn.ReLU()),
            *(nn.Linear(128, 64), nn.ReLU()),
        )
        self.head = nn.Linear(64, num_outputs)
        if backbone_of is not None:
            saved = torch.load(backbone_of)
            of_backbone = {name: saved[name] for name in saved if name.startswith("backbone.")}
            self.load_state_dict(of_backbone, strict=False)

    def forward(self, batch):
        return {"logits": self.head(self.backbone(batch["image"]))}
