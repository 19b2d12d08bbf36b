"""The bricks of the user whose run is broken in every way: data, a model, and what looks on."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn


class Noisy:
    """Points in one of three classes, moved by numbers drawn from all three generators."""

    task, num_outputs, num_features, input_key = "multiclass", 3, 8, "x"

    def __init__(self, samples: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.randn(samples, self.num_features, generator=generator)
        self.target = self.x[:, :3].argmax(dim=1)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, item: int) -> dict[str, Any]:
        drawn = torch.tensor(three_draws(), dtype=torch.float64)
        return {
            "idx": item,
            "x": self.x[item] + 0.1 * drawn.sum().float(),
            "target": self.target[item],
            "drawn": drawn,
        }


class Net(nn.Module):
    """``x`` (samples, num_features) float32 to ``logits`` (samples, num_outputs).

    While it learns it draws from all three generators too: torch's are in the dropout.
    """

    def __init__(self, num_features: int, num_outputs: int, hidden: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(num_features, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(hidden, num_outputs),
        )

    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        blur = random.random() + np.random.rand() if self.training else 1.0
        return {"logits": self.layers(batch["x"] * blur)}


class Consumed:
    """Writes down what each step was made with; on the disk before the step is saved."""

    supports_ranks = True
    supports_members = True

    def __init__(self, counter: Any, path: str) -> None:
        self.counter = counter
        self.path = Path(path)

    def batch_end(self, step: Any) -> None:
        used = {name: step.batch[name].tolist() for name in ("idx", "drawn")}
        line = json.dumps({"step": self.counter.steps, **used}) + "\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            os.write(handle, line.encode())
            os.fsync(handle)
        finally:
            os.close(handle)


class LooksInBetween:
    """Evaluates in the middle of epochs; every other time the evaluation raises."""

    def __init__(self, counter: Any, model: nn.Module, loaders_acc: Any) -> None:
        self.counter = counter
        self.model = model
        self.loaders_acc = loaders_acc

    def batch_end(self, step: Any) -> None:
        if self.counter.steps % 5 == 0:
            before = self._what_must_stay()
            if self.counter.steps % 10 == 0:
                self._raising()
            else:
                self.loaders_acc.collect("val")
            assert self._what_must_stay() == before, "looking changed flags or generators"

    def _raising(self) -> None:
        handle = self.model.layers[-1].register_forward_hook(_raise)  # type: ignore[index, union-attr]
        try:
            self.loaders_acc.collect("val")
        except ZeroDivisionError:
            return
        finally:
            handle.remove()
        raise AssertionError("the evaluation did not raise")

    def _what_must_stay(self) -> str:
        flags = [module.training for module in self.model.modules()]
        generators = random.getstate(), np.random.get_state(), torch.get_rng_state().tolist()
        with np.printoptions(threshold=10_000):
            return repr((flags, generators))


def three_draws() -> list[float]:
    """A number from each generator: python's, numpy's, torch's."""
    return [random.random(), np.random.rand(), torch.rand((), dtype=torch.float64).item()]


def _raise(*given: Any) -> None:
    raise ZeroDivisionError
