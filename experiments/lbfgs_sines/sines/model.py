"""The network, its loss, and how it is measured."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import mse_loss


class Sequence(nn.Module):
    """Waves (batch, length) to the value that follows each of theirs, by two layers of cells.

    For an evaluation it also goes on from its own predictions, as long as ``later`` is.
    """

    def __init__(self, hidden=51):
        super().__init__()
        self.hidden = hidden
        self.first = nn.LSTMCell(1, hidden)
        self.second = nn.LSTMCell(hidden, hidden)
        self.value = nn.Linear(hidden, 1)
        self.double()

    def forward(self, batch):
        wave = batch["wave"]
        zeros = wave.new_zeros(len(wave), self.hidden)
        first, second = (zeros, zeros), (zeros, zeros)
        made = []
        further = 0 if self.training else batch["later"].shape[1]
        for value in [*wave.split(1, dim=1), *[None] * further]:
            first = self.first(made[-1] if value is None else value, first)
            second = self.second(first[0], second)
            made.append(self.value(second[0]))
        values = torch.cat(made, dim=1)
        length = wave.shape[1]
        return {"prediction": values[:, :length], "continued": values[:, length:]}


def error(batch, outputs):
    return mse_loss(outputs["prediction"], batch["target"])


def errors(accumulated):
    """Of the next value, and of those that are predicted from predictions."""
    pairs = {"error": ("prediction", "target"), "later_error": ("continued", "later")}
    return {
        name: ((accumulated[one] - accumulated[other]) ** 2).mean()
        for name, (one, other) in pairs.items()
    }
