from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from legoloop.core.errors import ArgumentError
from legoloop.data.datasets import ColumnDataset
from legoloop.zoo.augment import RandomTranspose
from legoloop.zoo.mnist import mnist
from legoloop.zoo.toy_data import breast_cancer, diabetes, digits, xor
from tests.zoo.idx_writing import everything_under, images_of, labels_of, write_pair

Maker = Callable[..., ColumnDataset]
MAKERS: list[Maker] = [digits, breast_cancer, diabetes, xor]
SPLIT: list[tuple[Maker, int]] = [(digits, 1797), (breast_cancer, 569), (diabetes, 442)]


def described(data: ColumnDataset) -> dict[str, object]:
    told = ("task", "num_outputs", "num_features", "input_key")
    return {name: getattr(data, name) for name in told}


def test_digits() -> None:
    data = digits()
    image, target = data.columns["image"], data.columns["target"]
    assert image.shape[1:] == data.image_shape == (1, 8, 8)  # type: ignore[attr-defined]
    assert image.dtype == torch.float32
    assert (image.min(), image.max()) == (0, 1)
    assert target.dtype == torch.int64
    assert described(data) == {
        "task": "multiclass", "num_outputs": 10, "num_features": 64, "input_key": "image",
    }  # fmt: skip


def test_the_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    images, targets = load_digits(return_X_y=True)
    data = digits()
    rows = data.columns["idx"]
    image = torch.from_numpy(images / 16)[rows].float().reshape(-1, 1, 8, 8)
    assert torch.equal(data.columns["image"], image)
    assert torch.equal(data.columns["target"], torch.from_numpy(targets)[rows])


def test_digits_take_a_transform() -> None:
    plain, transposed = digits(), digits(transform=RandomTranspose(p=1.0))
    assert torch.equal(transposed[3]["image"], plain[3]["image"].mT)


def test_breast_cancer() -> None:
    data = breast_cancer()
    assert data.columns["features"].shape[1] == 30
    assert data.columns["target"].dtype == torch.float32
    assert data.columns["target"].unique().tolist() == [0, 1]
    assert described(data) == {
        "task": "binary", "num_outputs": 1, "num_features": 30, "input_key": "features",
    }  # fmt: skip


def test_diabetes_leads_back_to_the_targets_as_they_were_measured() -> None:
    from sklearn.datasets import load_diabetes

    data = diabetes(train=False)
    target = data.columns["target"] * data.target_std + data.target_mean  # type: ignore[attr-defined]
    measured = torch.from_numpy(load_diabetes().target)[data.columns["idx"]].float()
    torch.testing.assert_close(target, measured)
    assert described(data) == {
        "task": "regression", "num_outputs": 1, "num_features": 10, "input_key": "features",
    }  # fmt: skip


@pytest.mark.parametrize("make", [breast_cancer, diabetes])
def test_features_are_standardised_by_the_training_part(make: Maker) -> None:
    features = make().columns["features"]
    assert features.dtype == torch.float32
    torch.testing.assert_close(features.mean(0), torch.zeros(features.shape[1]), atol=1e-5, rtol=0)
    torch.testing.assert_close(features.std(0, correction=0), torch.ones(features.shape[1]))
    assert make(train=False).columns["features"].mean(0).abs().max() > 1e-3


@pytest.mark.parametrize(("make", "samples"), SPLIT)
@pytest.mark.parametrize("val_fraction", [0.2, 0.5])
def test_every_sample_is_in_one_of_the_two_parts(
    make: Maker, samples: int, val_fraction: float
) -> None:
    train, val = (make(train=train, val_fraction=val_fraction) for train in (True, False))
    idx = torch.cat([train.columns["idx"], val.columns["idx"]])
    assert sorted(idx.tolist()) == list(range(samples))
    assert abs(len(val) - val_fraction * samples) <= 1


@pytest.mark.parametrize("make", [digits, breast_cancer])
def test_the_parts_have_the_classes_in_proportion(make: Maker) -> None:
    train, val = (make(train=train).columns["target"].long().bincount() for train in (True, False))
    torch.testing.assert_close(train / train.sum(), val / val.sum(), atol=0.01, rtol=0)


@pytest.mark.parametrize(("make", "samples"), SPLIT)
def test_a_fraction_that_leaves_a_part_empty_is_refused(make: Maker, samples: int) -> None:
    for val_fraction in (0, 1, -0.5, 1.5, float("nan")):
        with pytest.raises(
            ArgumentError, match=r"val_fraction is .*; give a number between 0 and 1"
        ):
            make(val_fraction=val_fraction)
    with pytest.raises(ArgumentError, match=f"leaves a split of {samples} samples too small"):
        make(val_fraction=1 - 1e-9)


@given(samples=st.integers(1, 40), seed=st.integers(0, 5))
def test_xor_is_of_class_1_where_the_signs_differ(samples: int, seed: int) -> None:
    data = xor(samples, noise=0.01, seed=seed)
    features, target = data.columns["features"], data.columns["target"]
    assert features.shape == (samples, 2)
    assert torch.equal((features.prod(dim=1) < 0).float(), target)
    assert described(data) == {
        "task": "binary", "num_outputs": 1, "num_features": 2, "input_key": "features",
    }  # fmt: skip


def test_xor_differs_by_seed_and_part_alone() -> None:
    points = {
        (seed, train): tuple(xor(8, train, seed=seed).columns["features"].flatten().tolist())
        for seed in (0, 1)
        for train in (True, False)
    }
    assert len(set(points.values())) == 4
    assert torch.equal(xor(8, seed=1).columns["features"], xor(8, seed=1).columns["features"])


def test_xor_refuses_values_out_of_range() -> None:
    with pytest.raises(ArgumentError, match="samples is 0; give a whole number of at least 1"):
        xor(samples=0)
    with pytest.raises(ArgumentError, match=r"noise is -0\.1; give 0 or more"):
        xor(noise=-0.1)


@pytest.mark.parametrize("make", [*MAKERS, mnist])
@pytest.mark.parametrize("train", [True, False])
def test_a_maker_gives_the_same_every_time_draws_nothing_and_writes_nothing(
    make: Maker, train: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {}
    if make is mnist:
        arguments = {"root": tmp_path}
        write_pair(tmp_path, images_of(3), labels_of(3), split="train" if train else "t10k")
    monkeypatch.chdir(tmp_path)
    files = everything_under(tmp_path)
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    untouched = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()

    data, again = (make(train=train, **arguments) for _ in range(2))

    assert random.getstate() == untouched[0]
    assert np.random.get_state()[1].tolist() == untouched[1]
    assert np.random.get_state()[2] == 624
    assert torch.equal(torch.get_rng_state(), untouched[2])
    assert everything_under(tmp_path) == files
    assert data.columns.keys() == again.columns.keys()
    assert all(torch.equal(again.columns[name], data.columns[name]) for name in data.columns)
