from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import legoloop as ll
from tests.tiny import tiny, weights


class Evaluated:
    """Batches of three; sample n is an image of n, of class 0, and taken for 1 by a logit of n."""

    when, datasets = "train_end", ("val",)

    def __init__(self, samples: int = 9, **changed: Any) -> None:
        number = np.arange(samples)
        self.values: dict[str, Any] = {
            "image": number[:, None, None, None] * np.ones((1, 1, 4, 4)),
            "logits": np.stack([0.0 * number, number], axis=1),
            "target": np.zeros(samples, np.int64),
            "idx": 100 + number,
        } | changed

    def iterate(self, name: str, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
        for first in range(0, len(self.values["idx"]), 3):
            yield {key: self.values[key][first : first + 3] for key in keys}


def table(path: Path) -> list[list[str]]:
    with path.with_suffix(".csv").open(newline="") as file:
        return list(csv.reader(file))


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "worst_errors.png"


def test_has_the_surest_mistakes_the_worst_first(path: Path) -> None:
    ll.WorstErrors(path, Evaluated(), "val", count=3).train_end()
    assert table(path) == [
        ["idx", "target", "predicted"],
        *([f"10{n}", "0", "1"] for n in (8, 7, 6)),
    ]
    assert size_of(path) == (144, 172)


def test_a_soft_target_is_of_its_likeliest_class(path: Path) -> None:
    number = np.arange(9)
    soft = np.where(number % 2, 0.9, 0.1)
    ll.WorstErrors(path, Evaluated(logits=1.0 * number - 4.5, target=soft), "val").train_end()
    assert table(path)[1:] == [
        ["101", "1", "0"],
        ["108", "0", "1"],
        ["103", "1", "0"],
        ["106", "0", "1"],
    ]


@pytest.mark.parametrize("label", [-1, 0.5])
def test_a_target_that_is_no_class_is_refused(path: Path, label: float) -> None:
    with pytest.raises(ll.DataError, match=r"'target' has values from .*; classes are 0 to 1"):
        ll.WorstErrors(path, Evaluated(target=np.full(9, label)), "val").train_end()


def test_has_all_of_them_if_they_are_few(path: Path) -> None:
    ll.WorstErrors(path, Evaluated(), "val", count=99).train_end()
    assert len(table(path)) == 1 + 8  # at a logit of 0 both are as likely, and class 0 is first


def test_without_a_mistake_there_is_no_picture_nor_one_of_before(path: Path) -> None:
    ll.WorstErrors(path, Evaluated(), "val").train_end()
    mistakes = ll.WorstErrors(
        path, Evaluated(target=np.ones(9, np.int64), logits=np.eye(2)[[1] * 9]), "val"
    )
    mistakes.train_end()
    assert table(path) == [["idx", "target", "predicted"]]
    assert not path.exists()
    assert mistakes.images() == {}


def test_nan_logits_are_the_worst_of_mistakes(path: Path) -> None:
    logits = Evaluated().values["logits"]
    logits[4, 1] = np.nan
    ll.WorstErrors(path, Evaluated(logits=logits), "val", count=1).train_end()
    assert table(path)[1] == ["104", "0", "1"]


@pytest.mark.parametrize(
    ("shape", "size"),
    [((9, 30, 20), (80, 134)), ((9, 1, 100, 100), (100, 114)), ((9, 3, 8, 8), (72, 86))],
)
def test_takes_images_of_any_size(
    shape: tuple[int, ...], size: tuple[int, int], path: Path
) -> None:
    images = np.random.default_rng(0).normal(size=shape)
    images[8, ..., 0] = np.nan
    ll.WorstErrors(path, Evaluated(image=images), "val", count=1).train_end()
    assert size_of(path) == size


def test_says_what_is_wrong(path: Path) -> None:
    with pytest.raises(ll.ArgumentError, match="acc_key is 'test', which is not evaluated"):
        ll.WorstErrors(path, Evaluated(), "test")
    with pytest.raises(ll.ArgumentError, match="count is 0"):
        ll.WorstErrors(path, Evaluated(), "val", count=0)
    with pytest.raises(ll.DataError, match=r"'image' has the shape \(3, 4\); images have"):
        ll.WorstErrors(path, Evaluated(image=np.zeros((9, 4))), "val").train_end()


def test_a_run_is_the_same_with_it(path: Path) -> None:
    def dataset() -> ll.ColumnDataset:
        generator = torch.Generator().manual_seed(0)
        image = torch.randn(22, 2, 2, generator=generator)
        target = torch.arange(22) % 3
        return ll.ColumnDataset({"x": image.flatten(1), "image": image, "target": target})

    bare = tiny(dataset=dataset()).trained()
    parts = tiny(dataset=dataset())
    acc = parts.loops_acc(datasets=["train"])
    mistakes = ll.WorstErrors(path, acc, "train", count=4)

    assert parts.trained(acc, mistakes) == bare == weights(parts.model)
    rows = table(path)[1:]
    assert len(rows) == 4
    assert len({index for index, *_ in rows}) == 4
    assert all(int(target) == int(index) % 3 != int(said) for index, target, said in rows)
