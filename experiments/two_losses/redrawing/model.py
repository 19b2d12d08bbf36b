"""The network, and how well it draws."""

from __future__ import annotations

from torch import nn


class NamesAndRedraws(nn.Module):
    """Images to a code, and the code to logits and to the image again."""

    def __init__(self, num_features, num_outputs, image_shape, width=16):
        super().__init__()
        self.encode = nn.Sequential(
            *(nn.Flatten(), nn.Linear(num_features, 128), nn.ReLU()),
            *(nn.Linear(128, width), nn.ReLU()),
        )
        self.name = nn.Linear(width, num_outputs)
        self.redraw = nn.Sequential(
            *(nn.Linear(width, 128), nn.ReLU()),
            *(nn.Linear(128, num_features), nn.Unflatten(1, tuple(image_shape))),
        )

    def forward(self, batch):
        code = self.encode(batch["image"])
        return {"logits": self.name(code), "redrawn": self.redraw(code)}


def difference(batch, outputs):
    """The mean squared error of the pixels, one value per sample."""
    return (outputs["redrawn"] - batch["image"]).square().flatten(1).mean(dim=1)
