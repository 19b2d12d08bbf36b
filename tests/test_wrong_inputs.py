"""Wrong inputs, each with the whole message that answers it.

Those in the configuration end with status 2 and leave no trace; those in the data, or found while
running, end with status 1 and a run recorded as failed.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from legoloop.state.run_record import read_record
from tests.app.command import SMALL, Command, Ended, in_a_process

BRICKS = Path(__file__).parent / "app" / "bricks_of_a_user.py"
PROVIDERS = (
    "model, loss, optimizer, metrics, accumulators, feed, counter, descent, epoch, history, last, "
    "learning_rate, loaders_acc, loaders_metrics, loops_acc, loops_metrics, {mine}model_weights, "
    "predicts, train_loss, datasets, loaders, loop_iters, train_iterator, params, device, sources, "
    "task, num_outputs, num_features, input_key"
)
PLUGINS = (
    "counter, descent, {epoch}history, last, learning_rate, loaders_acc, loaders_metrics, "
    "loops_acc, loops_metrics, {mine}model_weights, predicts, train_loss"
)
TOP_KEYS = (
    "seed, num_epochs, epoch_size, eval_samples, device, app, run_dir, feed, model, loss, "
    "optimizer, scheduler, metrics, accumulators, plugins, data"
)


def plugin(target: str, others: str = "") -> str:
    return f"+plugins.mine={{_target_: mine.{target}{others}}}"


def train(maker: str, **given: Any) -> tuple[str, ...]:
    return data("train", maker, **given)


def data(name: str, maker: str, **given: Any) -> tuple[str, ...]:
    node = f"data.datasets.{name}"
    values = (f"+{node}.{key}={value}" for key, value in given.items())
    return (f"{node}._target_=mine.{maker}", f"~{node}.train", *values)


IN_THE_CONFIGURATION: dict[str, tuple[tuple[str, ...], str]] = {
}

IN_THE_DATA: dict[str, tuple[tuple[str, ...], str]] = {
}


def prepare(here: Path) -> None:
    """What the cases find in the working directory."""
    (here / "file").touch()
    (here / "done").mkdir()
    (here / "done" / "run.json").write_text(
        json.dumps({"status": "COMPLETED", "started": "2026-01-31T12:00:00.000+00:00"})
    )
    (here / "conf" / "model").mkdir(parents=True)
    (here / "conf" / "model" / "mine.yaml").write_text(
        "_target_: legoloop.zoo.models.MLP\nhiden: [8]\n"
    )
    (here / "conf" / "model" / "broken.yaml").write_text("hidden: [8\n_target_: mine.Mute\n")
    write_mnist(here / "truncated", cut=100)
    write_mnist(here / "foreign", magic=b"\x89PNG")
    write_mnist(here / "floats", magic=b"\0\0\x0d\x03")
    write_mnist(here / "uneven", labels=[0, 1])
    write_mnist(here / "mislabelled", labels=[0, 10, 2])


def write_mnist(
    folder: Path, labels: list[int] = [0, 1, 2], magic: bytes = b"\0\0\x08\x03", cut: int = 0
) -> None:
    """Three black images of both splits, and what the case wants to be wrong with them."""
    folder.mkdir()
    images = magic + struct.pack(">3I", 3, 28, 28) + bytes(3 * 28 * 28 - cut)
    for split in ("train", "t10k"):
        (folder / f"{split}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(
            b"\0\0\x08\x01" + struct.pack(">I", len(labels)) + bytes(labels)
        )
