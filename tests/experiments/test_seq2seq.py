from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import legoloop as ll
from tests.app.killed import assert_a_killed_run_leaves_the_same, trained
from tests.experiments.by_hand import assert_same_weights, bricks_of, conf_of
from tests.experiments.projects import (
    complete_the_readmes_commands,
    copied,
    final,
    run_directories,
)

SHORT = (
    *("experiment=numbers", "num_epochs=2", "epoch_size=96", "eval_samples=32", "device=cpu"),
    *("loggers=[csv]", "model.hidden=16"),
)
CONF = conf_of("seq2seq")


@pytest.fixture(autouse=True)
def bricks() -> Iterator[Any]:
    with bricks_of("seq2seq", "translation") as imported:
        yield imported


def by_hand(bricks: Any) -> nn.Module:
    """The loop of PyTorch's own tutorial, in batches; of legoloop it has the order of the data."""
    data, theirs = bricks("data"), bricks("model")
    config = ll.LoaderConfig(batch_size=32, collate=data.collate)
    batches = ll.BatchStream(data.Numbers(), "train", 0, config)
    torch.manual_seed(0)
    model: nn.Module = theirs.Translator(data.Numbers.num_words, data.Numbers.num_signs, hidden=16)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005, fused=True)
    for batch, _ in zip(batches, range(6), strict=False):
        model.train()
        optimizer.zero_grad()
        theirs.loss(batch, model(batch)).mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model


def test_it_trains_to_the_bits_of_a_plain_loop(tmp_path: Path, bricks: Any) -> None:
    trained(tmp_path / "run", *SHORT, config_dir=CONF)
    assert_same_weights(tmp_path / "run", by_hand(bricks))


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    app = assert_a_killed_run_leaves_the_same(tmp_path, 4, *SHORT, config_dir=CONF)
    assert (app.counter().steps, app.counter().samples) == (6, 192)


def test_micro_batches_of_nested_columns_make_the_step_of_the_whole(tmp_path: Path) -> None:
    """They are padded for the whole batch: what is padded counts for nothing."""
    once = ("num_epochs=1", "epoch_size=32", "optimizer=sgd")
    models = [
        trained(tmp_path / name, *SHORT, *once, *more, config_dir=CONF).model()
        for name, more in {
            "whole": (),
            "parts": ("plugins.descent.micro_batch_size=5",),
        }.items()
    ]
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.long
def test_the_readmes_commands_run_and_the_first_learns(tmp_path: Path) -> None:
    project = copied("seq2seq", tmp_path)
    complete_the_readmes_commands(project)
    assert final(run_directories(project)[0])["final/val/exact"] > 0.9
