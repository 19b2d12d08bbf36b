from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.app.killed import assert_a_killed_run_leaves_the_same, trained
from tests.experiments.by_hand import assert_same_weights, bricks_of, conf_of
from tests.experiments.projects import (
    complete_the_readmes_commands,
    copied,
    final,
    run_directories,
)

SHORT = ("experiment=gcn", "num_epochs=2", "epoch_size=3", "device=cpu", "loggers=[csv]")
CONF = conf_of("gcn")


@pytest.fixture(autouse=True)
def bricks() -> Iterator[Any]:
    with bricks_of("gcn", "gcn") as imported:
        yield imported


def by_hand(bricks: Any) -> nn.Module:
    """The loop of PyTorch's own example, on the same graph."""
    graph = bricks("data").Communities().graph
    torch.manual_seed(0)
    model: nn.Module = bricks("model").GCN(16, 4)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.0005, fused=True)
    torch.manual_seed(0)
    model.train()
    for _ in range(6):
        optimizer.zero_grad()
        logits = model(graph["features"], graph["edges"])
        asked = graph["asked"]
        nn.functional.cross_entropy(logits[asked], graph["target"][asked]).backward()
        optimizer.step()
    return model


def test_it_trains_to_the_bits_of_a_plain_loop(tmp_path: Path, bricks: Any) -> None:
    """Dropout too, though the run evaluates in between."""
    trained(tmp_path / "run", *SHORT, config_dir=CONF)
    assert_same_weights(tmp_path / "run", by_hand(bricks))


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    app = assert_a_killed_run_leaves_the_same(tmp_path, 4, *SHORT, config_dir=CONF)
    assert (app.counter().steps, app.counter().samples) == (6, 6)


@pytest.mark.slow
def test_the_readmes_commands_run_and_learn(tmp_path: Path) -> None:
    project = copied("gcn", tmp_path)
    complete_the_readmes_commands(project)
    first, second = run_directories(project)
    assert final(first)["final/val/accuracy"] > 0.9
    assert final(first)["final/val/accuracy"] > final(second)["final/val/accuracy"] > 0.25
    assert len((first / "predicts.csv").read_text().splitlines()) == 401
