"""An epoch of MNIST and its evaluations, as people write it, and as well as it can be written.

Both do what the job of legoloop does: an epoch of 60,000 images, transposed at random; then the
accuracy of the first 10,000 of three data sets, then that of all their images, predictions as CSV,
scalars for TensorBoard and the weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import accuracy_score
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset, Subset

from bench import images

BATCH, LIMIT = 256, 10_000
EVAL_BATCH = 1000


def network() -> nn.Sequential:
    """The layers of ``model=simple_cnn``: images (batch, 1, 28, 28) from 0 to 1 to 10 logits."""
    layers: list[nn.Module] = []
    for before, after in ((1, 16), (16, 32), (32, 64)):
        layers += [
            nn.Conv2d(before, after, 5, padding=2),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.GroupNorm(1, after),
            nn.ReLU(),
        ]
    layers += [nn.Flatten(), nn.Dropout(0.5), nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, 10)]
    return nn.Sequential(*layers)


class Images(Dataset):
    """One image at a time, which is how data sets are written."""

    def __init__(self, train: bool, transposes: bool) -> None:
        self.images, self.labels = images.read(train)
        self.transposes = transposes

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = self.images[index].float() / 255
        if self.transposes and torch.rand(()) < 0.5:
            image = image.T
        return {"idx": index, "image": image.unsqueeze(0), "target": self.labels[index]}


def as_people_write_it(folder: Path, seed: int) -> tuple[float, int]:
    """The accuracy on the test images, and how many images were evaluated."""
    torch.manual_seed(seed)
    datasets = {
        "train": Images(train=True, transposes=True),
        "val": Images(train=False, transposes=True),
        "val_real": Images(train=False, transposes=False),
    }
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for batch in DataLoader(datasets["train"], batch_size=BATCH, shuffle=True):
        optimizer.zero_grad()
        loss = cross_entropy(model(batch["image"]), batch["target"])
        loss.backward()
        optimizer.step()
    parts = {name: Subset(data, range(min(LIMIT, len(data)))) for name, data in datasets.items()}
    return _reported(
        folder,
        model,
        {name: DataLoader(data, batch_size=BATCH) for name, data in parts.items()},
        {name: DataLoader(data, batch_size=BATCH) for name, data in datasets.items()},
    )


class Whole:
    """All images at once, handed over a batch at a time."""

    def __init__(self, train: bool, transposes: bool) -> None:
        self.images, self.labels = images.read(train)
        self.images = self.images.unsqueeze(1)
        self.transposes = transposes

    def batches(self, order: torch.Tensor, size: int) -> Iterator[dict[str, torch.Tensor]]:
        for chosen in order.split(size):
            image = self.images.index_select(0, chosen)
            if self.transposes:
                swapped = (torch.rand(len(image)) < 0.5).view(-1, 1, 1, 1)
                image = torch.where(swapped, image.mT, image)
            image = (image.float() / 255).contiguous(memory_format=torch.channels_last)
            yield {"idx": chosen, "image": image, "target": self.labels.index_select(0, chosen)}

    def first(self, limit: int) -> Iterator[dict[str, torch.Tensor]]:
        return self.batches(torch.arange(min(limit, len(self.labels))), EVAL_BATCH)


def at_its_best(folder: Path, seed: int) -> tuple[float, int]:
    """The accuracy on the test images, and how many images were evaluated."""
    torch.manual_seed(seed)
    datasets = {
        "train": Whole(train=True, transposes=True),
        "val": Whole(train=False, transposes=True),
        "val_real": Whole(train=False, transposes=False),
    }
    model = network().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    model.train()
    train = datasets["train"]
    for batch in train.batches(torch.randperm(len(train.labels)), BATCH):
        optimizer.zero_grad()
        loss = cross_entropy(model(batch["image"]), batch["target"])
        loss.backward()
        optimizer.step()
    everything = max(len(data.labels) for data in datasets.values())
    return _reported(
        folder,
        model,
        {name: data.first(LIMIT) for name, data in datasets.items()},
        {name: data.first(everything) for name, data in datasets.items()},
    )


def _reported(
    folder: Path,
    model: nn.Module,
    some: dict[str, Iterable[Any]],
    every: dict[str, Iterable[Any]],
) -> tuple[float, int]:
    from torch.utils.tensorboard import SummaryWriter

    evaluated = 0
    with SummaryWriter(str(folder)) as writer:
        for name, batches in some.items():
            _, logits, target = _evaluated(model, batches)
            evaluated += len(target)
            writer.add_scalar(f"{name}/accuracy", accuracy_score(target, logits.argmax(1)))
        for name, batches in every.items():
            idx, logits, target = _evaluated(model, batches)
            evaluated += len(target)
            accuracy = accuracy_score(target, logits.argmax(1))
            writer.add_scalar(f"final/{name}/accuracy", accuracy)
    table = pd.DataFrame(logits, columns=[f"logit{number}" for number in range(10)])
    table.insert(0, "idx", idx)
    table.to_csv(folder / "predicts.csv", index=False)
    torch.save(model.state_dict(), folder / "weights")
    return float(accuracy), evaluated


@torch.inference_mode()
def _evaluated(model: nn.Module, batches: Iterable[Any]) -> tuple[np.ndarray, ...]:
    model.eval()
    idx, logits, target = [], [], []
    for batch in batches:
        idx.append(batch["idx"])
        logits.append(model(batch["image"]))
        target.append(batch["target"])
    return tuple(torch.cat(parts).numpy() for parts in (idx, logits, target))
