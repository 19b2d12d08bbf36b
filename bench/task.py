"""The same small training for everybody: a multilayer perceptron on a batch that is ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

BATCH = 32
FEATURES, CLASSES = 64, 10
LOG_EVERY = 50
VALIDATION = 50
LR = 1e-4

Pair = tuple[torch.Tensor, torch.Tensor]
Clock = Callable[[], float]


class Stream:
    """The same ready batch so many times; it notes when it is asked for the last one.

    A step is what passes from one asking to the next: so nothing is put into anybody's loop to
    measure it. Those before ``skip`` do not count: what is done once is not the cost of a step.
    """

    def __init__(
        self, batch: Any, length: int, skip: int = 0, clock: Clock = time.perf_counter
    ) -> None:
        self.batch = batch
        self.length = length
        self.skip = skip
        self.clock = clock
        self.began = self.ended = 0.0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        for number in range(self.length):
            if number == self.skip:
                self.began = self.clock()
            if number == self.length - 1:
                self.ended = self.clock()
            yield self.batch

    def step(self) -> float:
        """Microseconds a step."""
        return (self.ended - self.began) / (self.length - 1 - self.skip) * 1e6


@dataclass
class Task:
    """What a peer is given: data, a model and its optimizer, each fresh and always the same.

    ``steps`` in all, an epoch each ``every``. ``folder`` is for what it writes.
    """

    steps: int
    folder: Path
    fused: bool = False
    every: int = 1000
    clock: Clock = time.perf_counter
    train: Stream = field(init=False)
    validation: Stream = field(init=False)
    model: nn.Sequential = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.train = Stream(self._batch(0), self.steps, self.steps // 10, self.clock)
        self.validation = Stream(self._batch(1), VALIDATION)
        torch.manual_seed(0)
        self.model = nn.Sequential(
            nn.Linear(FEATURES, FEATURES), nn.ReLU(), nn.Linear(FEATURES, CLASSES)
        )
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=LR, fused=self.fused)

    @property
    def epochs(self) -> int:
        """How many epochs the steps make."""
        return self.steps // self.every

    def epoch(self) -> Stream:
        """The batches of one epoch."""
        return Stream(self.train.batch, self.every)

    def named(self, x: str, y: str) -> None:
        """Let the batches be dicts."""
        for stream in (self.train, self.validation):
            stream.batch = dict(zip((x, y), stream.batch, strict=True))

    def _batch(self, seed: int) -> Pair:
        draw = torch.Generator().manual_seed(seed)
        x = torch.randn(BATCH, FEATURES, generator=draw)
        return x, torch.randint(0, CLASSES, (BATCH,), generator=draw)


def weights(model: nn.Module) -> bytes:
    """All weights, to be compared bit for bit."""
    return b"".join(p.detach().numpy().tobytes() for p in model.parameters())
