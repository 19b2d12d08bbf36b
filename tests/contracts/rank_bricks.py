"""Bricks for runs of several ranks."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import legoloop as ll
from legoloop.data.datasets import ColumnDataset


class SpoilImage:
    """A transform that makes the image of one sample nan."""

    def __init__(self, idx: int) -> None:
        self.idx = idx

    def __call__(self, batch: Any) -> Any:
        is_it = (batch["idx"] == self.idx).reshape(-1, 1, 1, 1)
        return {**batch, "image": torch.where(is_it, torch.nan, batch["image"])}


def sentences(samples: int = 90, length: int = 6) -> ColumnDataset:
    """Sentences of different lengths; some have no token that counts."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(0, length + 1, (samples,), generator=generator)
    return ColumnDataset(
        {
            "words": torch.randn(samples, length, 4, generator=generator),
            "tags": torch.randint(0, 3, (samples, length), generator=generator),
            "mask": torch.arange(length) < lengths[:, None],
            "idx": torch.arange(samples),
        }
    )


class Tagger(nn.Module):
    """A tag for each word."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, batch: Any) -> Any:
        return {"logits": self.layer(batch["words"])}


def mean_over_tokens(batch: Any, outputs: Any) -> torch.Tensor:
    """The mean over the tokens that are no padding."""
    losses = cross_entropy(
        outputs["logits"].flatten(0, 1), batch["tags"].flatten(), reduction="none"
    )
    mask = batch["mask"].flatten()
    return (losses * mask).sum() / mask.sum()


def train_tagger(micro_batch_size: int | None) -> Any:
    """Two passes over the sentences; the state at the end."""
    ll.seed(0)
    model, counter, tokens = Tagger(), ll.Counter(), ll.TokenBatchDesc()
    stream = ll.BatchStream(sentences(), "train", 0, ll.LoaderConfig(batch_size=16))
    descent = ll.GradientDescent(
        torch.optim.Adam(model.parameters(), lr=0.1),
        model,
        ll.Feed(model, "cpu"),
        mean_over_tokens,
        micro_batch_size=micro_batch_size,
        batch_desc=tokens,
    )
    loss = ll.TrainLoss()
    epoch = ll.SimpleEpoch(stream, epoch_size=300, batch_desc=tokens)
    host = ll.TrainingHost([counter, epoch, descent, loss, ll.LastEpoch(counter, 2)])
    host.run()
    return host.state_dict()
