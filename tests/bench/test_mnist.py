from __future__ import annotations

from math import isfinite
from pathlib import Path

import pytest
import torch

from bench import images, mnist
from bench.mnist_by_hand import Images, Whole, network
from legoloop.zoo.models import SimpleCNN


@pytest.fixture
def noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    images.write(tmp_path, samples=20)
    monkeypatch.setenv("LEGOLOOP_DATA", str(tmp_path))
    return tmp_path


def test_the_network_by_hand_is_the_one_that_ships() -> None:
    ours = SimpleCNN((1, 28, 28), num_outputs=10, task="multiclass", input_key="image").eval()
    hand = network().eval()
    for mine, theirs in zip(ours.parameters(), hand.parameters(), strict=True):
        theirs.data.copy_(mine.data)
    x = torch.rand(3, 1, 28, 28)
    with torch.no_grad():
        assert torch.equal(ours({"image": x})["logits"], hand(x))


def test_both_data_sets_by_hand_hold_the_same(noise: Path) -> None:
    whole = next(Whole(train=True, transposes=False).first(limit=5))
    singles = Images(train=True, transposes=False)
    for number in range(5):
        assert torch.equal(whole["image"][number], singles[number]["image"])
        assert whole["target"][number] == singles[number]["target"]


@pytest.mark.long
def test_everybody_evaluates_the_same_samples(noise: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(mnist.SEED, raising=False)

    outcomes, told = mnist.measured(seeds=1)

    for name, ((took, accuracy, evaluated),) in outcomes.items():
        assert name in told
        assert isfinite(took)
        assert 0 <= accuracy <= 1
        assert evaluated == 2 * 3 * 20
