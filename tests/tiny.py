"""Tiny apps: a data set, a model and a host that trains in milliseconds.

The model has dropout and batch norm, so that a random number drawn too many or a flag left wrong
shows in the final weights.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import legoloop as ll


def columns(samples: int = 22) -> dict[str, torch.Tensor]:
    """``x`` (samples, 4) float32 and ``target`` (samples,) of 3 classes."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(samples, 4, generator=generator)
    return {"x": x, "target": x[:, :3].argmax(dim=1)}


class Noisy(ll.SizedDataset):
    """Records whose noise is drawn from all three generators."""

    def __init__(self, samples: int = 22) -> None:
        self.columns = columns(samples)

    def __len__(self) -> int:
        return len(self.columns["x"])

    def __getitem__(self, item: int) -> dict[str, Any]:
        noise = random.random() + np.random.rand() + torch.rand(()).item()
        return {
            "idx": item,
            "x": self.columns["x"][item] + noise,
            "target": self.columns["target"][item],
        }


class Net(nn.Module):
    """``x`` (samples, 4) to ``logits`` (samples, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
        )

    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {"logits": self.layers(batch["x"])}


def mean_loss(batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
    return cross_entropy(outputs["logits"], batch["target"])


def sample_losses(batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
    return cross_entropy(outputs["logits"], batch["target"], reduction="none")


def accuracy(accumulated: dict[str, Any]) -> dict[str, float]:
    predicted = accumulated["logits"].argmax(axis=1)
    return {"accuracy": (predicted == accumulated["target"]).mean()}


collected = ll.CompositeFactory(
    logits=ll.NumpyAccumulator, target=ll.NumpyAccumulator, idx=ll.NumpyAccumulator
)


@dataclass
class Tiny:
    """The parts of one run; ``host`` puts them together with others."""

    loaders: dict[str, ll.Loader]
    loops: dict[str, ll.BatchStream]
    model: nn.Module
    opt: torch.optim.Optimizer
    feed: ll.Feed
    counter: ll.Counter
    epoch: ll.SimpleEpoch
    descent: ll.GradientDescent
    last: ll.LastEpoch

    def host(self, *others: object) -> ll.TrainingHost:
        return ll.TrainingHost([self.counter, self.epoch, self.descent, self.last, *others])

    def trained(self, *others: object) -> bytes:
        """The final weights of a run with these other plugins."""
        self.host(*others).run()
        return weights(self.model)

    def loaders_acc(self, **given: Any) -> ll.LoadersAcc:
        return ll.LoadersAcc(
            self.loaders, self.model, **{"factory": collected, "feed": self.feed, **given}
        )

    def loops_acc(self, **given: Any) -> ll.LoopsAcc:
        return ll.LoopsAcc(
            self.loops, self.model, **{"factory": collected, "feed": self.feed, **given}
        )


def tiny(
    num_epochs: int = 2,
    epoch_size: int | None = None,
    batch_size: int = 4,
    num_workers: int = 0,
    dataset: Any = None,
    loss: Any = mean_loss,
    seed: int = 0,
) -> Tiny:
    """A fresh run, the same whenever it is asked for with the same arguments."""
    ll.seed(seed)
    datasets = {
        "train": dataset if dataset is not None else ll.ColumnDataset(columns()),
        "val": ll.ColumnDataset(columns(9)),
    }
    batching = ll.LoaderConfig(batch_size=batch_size, num_workers=num_workers)
    loops = {name: ll.BatchStream(data, name, seed, batching) for name, data in datasets.items()}
    model = Net()
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    feed, counter = ll.Feed(model, "cpu"), ll.Counter()
    return Tiny(
        loaders={name: ll.Loader(data, name, seed, batching) for name, data in datasets.items()},
        loops=loops,
        model=model,
        opt=opt,
        feed=feed,
        counter=counter,
        epoch=ll.SimpleEpoch(loops["train"], epoch_size),
        descent=ll.GradientDescent(opt, model, feed, loss),
        last=ll.LastEpoch(counter, num_epochs),
    )


def weights(model: nn.Module) -> bytes:
    """All weights and buffers, to be compared bit for bit."""
    return b"".join(value.numpy().tobytes() for value in model.state_dict().values())
