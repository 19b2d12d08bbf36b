"""The network, and how it is measured."""

from __future__ import annotations

from math import exp

from torch import nn
from torch.nn.functional import cross_entropy


class CharacterModel(nn.Module):
    """Characters (batch, length) to logits of the next ones (batch, length, characters)."""

    def __init__(self, num_characters, width=32, hidden=128):
        super().__init__()
        self.embedding = nn.Embedding(num_characters, width)
        self.recurrent = nn.GRU(width, hidden, batch_first=True)
        self.logits = nn.Linear(hidden, num_characters)

    def forward(self, batch):
        states, _ = self.recurrent(self.embedding(batch["characters"]))
        return {"logits": self.logits(states)}


class Surprise:
    """An accumulator: how unlikely the characters of all batches were; padding is left out."""

    def __init__(self):
        self.surprise = 0.0
        self.characters = 0

    def add(self, values):
        mask = values["mask"]
        losses = cross_entropy(values["logits"][mask], values["target"][mask], reduction="sum")
        self.surprise += losses.item()
        self.characters += mask.sum().item()

    def result(self):
        return {"surprise": self.surprise, "characters": self.characters}


def perplexity(accumulated):
    """Among how many characters, as it were, the model has to guess."""
    return {"perplexity": exp(accumulated["surprise"] / accumulated["characters"])}
