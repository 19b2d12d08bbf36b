from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from tests.app.killed import assert_a_killed_run_leaves_the_same, trained
from tests.experiments.by_hand import assert_same_weights, bricks_of, conf_of
from tests.experiments.projects import complete_the_readmes_commands, copied, run_directories

SHORT = (
    *("experiment=cartpole", "num_epochs=2", "epoch_size=4", "device=cpu", "loggers=[csv]"),
    "components.play.most_steps=40",
)
CONF = conf_of("cartpole")


@pytest.fixture(autouse=True)
def bricks() -> Iterator[Any]:
    with bricks_of("cartpole", "cartpole") as imported:
        yield imported


def by_hand(bricks: Any) -> nn.Module:
    """The loop of PyTorch's own example, on the same game."""
    game, reinforce = bricks("game"), bricks("playing").reinforce
    torch.manual_seed(0)
    policy = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.02, fused=True)
    torch.manual_seed(0)
    for _ in range(8):
        episode, log_probs = game.CartPole(), []
        for _ in range(40):
            if episode.is_over:
                break
            choice = torch.distributions.Categorical(logits=policy(torch.tensor(episode.state)))
            action = choice.sample()
            log_probs.append(choice.log_prob(action))
            episode.push(to_the_right=action.item())
        optimizer.zero_grad()
        reinforce({}, {"log_probs": torch.stack(log_probs)}).backward()
        optimizer.step()
    return policy


def test_it_trains_to_the_bits_of_a_plain_loop(tmp_path: Path, bricks: Any) -> None:
    app = trained(tmp_path / "run", *SHORT, config_dir=CONF)
    assert_same_weights(tmp_path / "run", by_hand(bricks))
    assert (app.counter().epochs, app.counter().samples) == (2, 8)


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    assert_a_killed_run_leaves_the_same(tmp_path, 5, *SHORT, config_dir=CONF)
    lengths = pd.read_csv(tmp_path / "whole" / "metrics.csv")["episode_length"]
    assert len(lengths) == 2
    assert lengths.between(8, 40).all()


@pytest.mark.long
def test_the_readmes_commands_run_and_the_first_learns(tmp_path: Path) -> None:
    project = copied("cartpole", tmp_path)
    complete_the_readmes_commands(project)
    longest, *_ = run_directories(project)
    lengths = pd.read_csv(longest / "metrics.csv")["episode_length"]
    assert lengths.iloc[-3:].mean() > 2 * lengths.iloc[0]
