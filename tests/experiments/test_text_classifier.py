from __future__ import annotations

import importlib
import sys
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
    completed,
    copied,
    final,
    run_directories,
)
from tests.packages import needs

needs("datasets", "transformers")

SHORT = (
    *("experiment=reviews", "num_epochs=2", "epoch_size=48", "eval_samples=32", "device=cpu"),
    *("loggers=[csv]", "data.datasets.train.dataset.samples=64"),
)
CONF = conf_of("text_classifier")


@pytest.fixture(scope="module")
def bricks() -> Iterator[Any]:
    with bricks_of("text_classifier", "reviews") as imported:
        yield imported


@pytest.fixture(scope="module")
def pretrained(bricks: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tinier model than that of the example, which has learned next to nothing."""
    folder = tmp_path_factory.mktemp("pretrained")
    importlib.import_module("make_pretrained").make(folder, steps=2, width=8)
    del sys.modules["make_pretrained"]
    return str(folder)


def by_hand(bricks: Any, pretrained: str) -> nn.Module:
    """The loop of transformers' own course; of legoloop it has the order of the data."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(pretrained)
    rows = bricks("data").reviews(pretrained, 64, seed=2)
    order = ll.BatchStream(range_of(64), "train", 0, ll.LoaderConfig(batch_size=16))
    torch.manual_seed(0)
    model: nn.Module = AutoModelForSequenceClassification.from_pretrained(pretrained, num_labels=2)
    decay, others = [], []
    for name, weight in model.named_parameters():
        (others if "bias" in name or "LayerNorm" in name else decay).append(weight)
    optimizer = torch.optim.AdamW(
        [{"params": decay}, {"params": others, "weight_decay": 0.0}],
        lr=0.001,
        weight_decay=0.01,
        fused=True,
    )
    torch.manual_seed(0)
    model.train()
    for chosen, _ in zip(order, range(6), strict=False):
        records = rows[chosen["idx"].tolist()]
        batch = tokenizer.pad({"input_ids": records["input_ids"]}, return_tensors="pt")
        output = model(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            labels=torch.tensor(records["label"]),
        )
        optimizer.zero_grad()
        output.loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model


def range_of(samples: int) -> ll.ColumnDataset:
    return ll.ColumnDataset({"idx": torch.arange(samples)})


def test_it_trains_to_the_bits_of_a_plain_loop(
    tmp_path: Path, bricks: Any, pretrained: str
) -> None:
    """Without the warm-up, which begins at another rate in transformers."""
    given = (*SHORT, f"data.pretrained={pretrained}", "scheduler=none")
    trained(tmp_path / "run", *given, config_dir=CONF)
    assert_same_weights(tmp_path / "run", by_hand(bricks, pretrained))


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path, pretrained: str) -> None:
    given = (*SHORT, f"data.pretrained={pretrained}")
    app = assert_a_killed_run_leaves_the_same(tmp_path, 4, *given, config_dir=CONF)
    assert (app.counter().steps, app.counter().samples) == (6, 96)


@pytest.mark.long
def test_the_readmes_commands_run_and_the_first_learns(tmp_path: Path) -> None:
    project = copied("text_classifier", tmp_path)
    complete_the_readmes_commands(project)
    first, _ = run_directories(project)
    assert final(first)["final/val/accuracy"] > 0.85
    loads = f"import legoloop as ll; print(type(ll.load({str(first)!r})).__name__)"
    assert completed(project, "-c", loads, fresh=True) == "BertForSequenceClassification\n"
