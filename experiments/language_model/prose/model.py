"""The network, its loss, and how it is measured."""

from __future__ import annotations

from math import exp

import torch
from torch import nn
from torch.nn.functional import cross_entropy


class LSTMModel(nn.Module):
    """Words (rows, length) to logits of the next ones (rows, length, words).

    It goes on reading each row where the batch before ended: the state is a buffer, so it is in the
    checkpoints, and an evaluation puts it back. Without its graph, gradients end at the beginning
    of the batch (truncated backpropagation through time).
    """

    def __init__(self, num_words, rows, width=64, hidden=128, layers=1, dropout=0.2):
        super().__init__()
        self.embedding = nn.Embedding(num_words, width)
        self.dropout = nn.Dropout(dropout)
        self.recurrent = nn.LSTM(width, hidden, layers, batch_first=True)
        self.logits = nn.Linear(hidden, num_words)
        self.register_buffer("hidden", torch.zeros(layers, rows, hidden))
        self.register_buffer("cell", torch.zeros(layers, rows, hidden))

    def forward(self, batch):
        starts = batch["starts"][:, None]
        state = self.hidden.masked_fill(starts, 0), self.cell.masked_fill(starts, 0)
        words = self.dropout(self.embedding(batch["words"]))
        outputs, (hidden, cell) = self.recurrent(words, state)
        self.hidden, self.cell = hidden.detach(), cell.detach()
        return {"logits": self.logits(self.dropout(outputs))}


def mean_surprise(batch, outputs):
    return cross_entropy(outputs["logits"].flatten(0, 1), batch["target"].flatten())


class Surprise:
    """An accumulator: how unlikely the words of all batches were."""

    def __init__(self):
        self.surprise = 0.0
        self.words = 0

    def add(self, values):
        words = values["target"].numel()
        self.surprise += mean_surprise(values, values).item() * words
        self.words += words

    def result(self):
        return {"surprise": self.surprise, "words": self.words}


def perplexity(accumulated):
    """Among how many words, as it were, the model has to guess."""
    return {"perplexity": exp(accumulated["surprise"] / accumulated["words"])}
