from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import legoloop as ll
from legoloop.zoo.toy_data import digits
from tests.app.killed import assert_a_killed_run_leaves_the_same
from tests.experiments.by_hand import bricks_of, conf_of
from tests.experiments.projects import (
    RUN,
    complete_the_readmes_commands,
    completed,
    copied,
    run_directories,
)

CONF = ("--config-dir", "conf", "loggers=[csv]")
SHORT = (
    *("experiment=gan", "num_epochs=2", "+plugins.epoch.epoch_size=192", "device=cpu"),
    "loggers=[csv]",
)
WEIGHTS = "{_target_: legoloop.SaveModelWeights, _inject_: {model: generator}, path: '%s'}"


@pytest.fixture
def bricks() -> Iterator[Any]:
    with bricks_of("gan_on_digits", "gan") as imported:
        yield imported


def train_by_hand(bricks: Any, generator: Any, discriminator: Any) -> None:
    """The loop of PyTorch's ``dcgan``, with new images for each of the two networks."""
    losses = bricks("training")
    batches = ll.BatchStream(digits(train=True), "train", 0, ll.LoaderConfig(batch_size=64))
    of_generator = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999))
    of_discriminator = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    torch.manual_seed(0)
    for batch, _ in zip(batches, range(6), strict=False):
        real = batch["image"]
        of_discriminator.zero_grad()
        made = generator.drawn(len(real), "cpu").detach()
        outputs = {"real": discriminator(real), "made": discriminator(made)}
        losses.tells_apart(batch, outputs).backward()
        of_discriminator.step()
        of_generator.zero_grad()
        outputs = {"made": discriminator(generator.drawn(len(real), "cpu"))}
        losses.deceives(batch, outputs).backward()
        of_generator.step()


def test_it_trains_to_the_bits_of_a_plain_loop(tmp_path: Path, bricks: Any) -> None:
    given = [*SHORT, f"hydra.run.dir={tmp_path}"]
    app: Any = ll.compose(given, config_dir=conf_of("gan_on_digits"))
    networks = app.generator(), app.discriminator()
    expected = deepcopy(networks)
    app.host().run()
    train_by_hand(bricks, *expected)
    for network, by_hand in zip(networks, expected, strict=True):
        for name, value in by_hand.state_dict().items():
            assert torch.equal(network.state_dict()[name], value), name


@pytest.mark.slow
@pytest.mark.parametrize("after", [6, 7])
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path, bricks: Any, after: int) -> None:
    """After 7, the discriminator has made its step of the batch and the generator has not."""
    weights = f"+plugins.weights={WEIGHTS % '${run_dir}/weights'}"
    conf = conf_of("gan_on_digits")
    assert_a_killed_run_leaves_the_same(tmp_path, after, *SHORT, weights, config_dir=conf)


def test_losses_are_logged_apart_and_images_are_saved(tmp_path: Path) -> None:
    project = copied("gan_on_digits", tmp_path)
    completed(project, *RUN, *CONF, "experiment=gan", "num_epochs=2", "hydra.run.dir=run")
    losses = pd.read_csv(project / "run" / "metrics.csv")
    assert losses["step"].tolist() == [23, 46]
    assert {"loss/discriminator", "loss/generator", "distance"} < set(losses.columns)
    images = torch.load(project / "run" / "images.pt")
    assert images.shape == (64, 1, 8, 8)
    assert 0 <= images.min() < images.max() <= 1


@pytest.mark.long
def test_the_readmes_commands_run_and_the_first_learns(tmp_path: Path) -> None:
    project = copied("gan_on_digits", tmp_path)
    complete_the_readmes_commands(project)
    longest, *_ = run_directories(project)
    distances = pd.read_csv(longest / "metrics.csv")["distance"]
    assert distances.iloc[-1] < distances.iloc[0] / 2
