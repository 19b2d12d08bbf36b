from __future__ import annotations

import importlib
from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy

from tests.experiments.in_process import Project, assert_equal
from tests.experiments.projects import (
    complete_the_readmes_commands,
    copied,
    final,
    run_directories,
)
from tests.experiments.test_character_model import write_text

SMALL = (
    *("experiment=prose", "num_epochs=2", "data.loaders.default.batch_size=4"),
    *("data.datasets.train.length=7", "data.datasets.val.length=5"),
    *("model.width=8", "model.hidden=12", "model.layers=2"),
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    write_text(tmp_path, lines=60)
    torch.set_num_threads(1)
    return Project("language_model", tmp_path, monkeypatch)


def hand_written(app: Any, num_epochs: int) -> dict[str, torch.Tensor]:
    """PyTorch's ``word_language_model``, with the layers and the text of an app."""
    model, text = deepcopy(app.model()), app.data.datasets()["train"]
    opt = torch.optim.Adam(model.parameters(), lr=0.005, fused=True)
    torch.manual_seed(0)
    model.train()
    for _ in range(num_epochs):
        state = None
        for start in range(0, text.words.shape[1], 7):
            words = text.words[:, start : start + 7]
            target = text.target[:, start : start + 7]
            if state is not None:
                state = tuple(part.detach() for part in state)
            opt.zero_grad()
            outputs, state = model.recurrent(model.dropout(model.embedding(words)), state)
            logits = model.logits(model.dropout(outputs))
            cross_entropy(logits.flatten(0, 1), target.flatten()).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
            opt.step()
    assert state is not None
    model.hidden, model.cell = state
    return {name: value.detach() for name, value in model.state_dict().items()}


def test_equals_a_plain_loop_bit_for_bit(project: Project) -> None:
    app = project.app("run", *SMALL)
    expected = hand_written(app, num_epochs=2)
    before = deepcopy(app.model().state_dict())

    app.host().run()

    weights = torch.load(project.folder / "run" / "weights")
    assert_equal(weights, expected)
    assert not torch.equal(weights["embedding.weight"], before["embedding.weight"])
    metrics = pd.read_csv(project.folder / "run" / "metrics.csv")["val/perplexity"]
    assert metrics.iloc[-1] < metrics.iloc[0]


@pytest.mark.slow
@pytest.mark.parametrize("after_steps", [8, 20])
def test_killed_and_resumed_it_remembers_what_it_has_read(
    after_steps: int, project: Project
) -> None:
    """The checkpoints lie within a pass: what is resumed goes on in the middle of the rows."""
    every = "plugins.checkpoints.every_steps=5"
    whole = project.app("whole", *SMALL, every)
    steps = len(whole.data.datasets()["train"]) // 4
    assert after_steps < 2 * steps
    assert steps % 5
    whole.host().run()
    expected = torch.load(project.folder / "whole" / "weights")
    assert_equal(project.killed_and_resumed(*SMALL, every, after_steps=after_steps), expected)


def test_the_segments_of_a_row_continue_each_other(project: Project) -> None:
    prose = importlib.import_module("prose.data")
    text = prose.Prose("data/text.txt", rows=4, length=7)
    segments = [text[item] for item in range(len(text))]
    row = torch.cat([segment["words"] for segment in segments[2::4]])
    following = torch.cat([segment["target"] for segment in segments[2::4]])
    assert torch.equal(row[1:], following[:-1])
    assert [segment["starts"] for segment in segments] == [True] * 4 + [False] * (len(text) - 4)
    assert len(prose.Prose("data/text.txt", rows=4, length=7, train=False)) < len(text)


@pytest.mark.long
def test_the_readmes_commands_run_and_the_first_learns(tmp_path: Path) -> None:
    project = copied("language_model", tmp_path)
    write_text(project, lines=3000)
    complete_the_readmes_commands(project)
    assert final(run_directories(project)[0])["final/val/perplexity"] < 11
