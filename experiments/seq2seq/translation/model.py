"""An encoder, and a decoder that attends to it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from translation.data import BEGIN, PAD


class Translator(nn.Module):
    """Two padded sequences of tokens to the logits of the second, each sign given those before."""

    def __init__(self, num_words, num_signs, width=32, hidden=64, longest=5):
        super().__init__()
        self.words, self.signs = nn.Embedding(num_words, width), nn.Embedding(num_signs, width)
        self.encoder = nn.GRU(width, hidden, batch_first=True)
        self.decoder = nn.GRU(width, hidden, batch_first=True)
        self.attention = nn.Linear(hidden, hidden)
        self.logits = nn.Linear(2 * hidden, num_signs)
        self.longest = longest

    def forward(self, batch):
        encoded, state = self.encode(batch["source"])
        said = batch["target"]["tokens"][:, :-1]
        logits, _ = self.decode(said, state, encoded, batch["source"]["mask"])
        return {"logits": logits} if self.training else {"logits": logits, **self.greedy(batch)}

    def encode(self, source):
        lengths = source["mask"].sum(dim=1).cpu()
        packed = pack_padded_sequence(
            self.words(source["tokens"]), lengths, batch_first=True, enforce_sorted=False
        )
        encoded, state = self.encoder(packed)
        return pad_packed_sequence(encoded, batch_first=True)[0], state

    def decode(self, signs, state, encoded, mask):
        decoded, state = self.decoder(self.signs(signs), state)
        scores = self.attention(decoded) @ encoded.transpose(1, 2)
        weights = scores.masked_fill(~mask[:, None], -torch.inf).softmax(dim=2)
        return self.logits(torch.cat([decoded, weights @ encoded], dim=2)), state

    def greedy(self, batch):
        """The likeliest sign, one after the other."""
        encoded, state = self.encode(batch["source"])
        sign = torch.full_like(batch["source"]["tokens"][:, :1], BEGIN)
        said = []
        for _ in range(self.longest):
            logits, state = self.decode(sign, state, encoded, batch["source"]["mask"])
            sign = logits.argmax(dim=2)
            said.append(sign)
        return {"said": torch.cat(said, dim=1)}


def loss(batch, outputs):
    """The mean over the signs of each sample: one value a sample."""
    target, mask = batch["target"]["tokens"][:, 1:], batch["target"]["mask"][:, 1:]
    losses = cross_entropy(outputs["logits"].transpose(1, 2), target, reduction="none")
    return (losses * mask).sum(dim=1) / mask.sum(dim=1)


class Exact:
    """An accumulator: in how many samples each sign is right, up to the last one."""

    def __init__(self):
        self.right = self.samples = 0

    def add(self, values):
        target, mask = (values["target"][key][:, 1:] for key in ("tokens", "mask"))
        said = values["said"]
        said = torch.nn.functional.pad(said, (0, len(target[0]) - len(said[0])), value=PAD)
        self.right += ((said == target) | ~mask).all(dim=1).sum().item()
        self.samples += len(target)

    def result(self):
        return {"right": self.right, "samples": self.samples}


def exact(accumulated):
    """The share of the samples that are translated without a mistake."""
    return {"exact": accumulated["right"] / accumulated["samples"]}
