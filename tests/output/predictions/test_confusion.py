from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix as of_sklearn

import legoloop as ll
from legoloop.core.class_labels import predicted_classes
from legoloop.output.predictions.confusion import confusion_matrix, matrix_picture
from tests.tiny import tiny


def read(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


@given(classes=st.integers(1, 7), samples=st.integers(1, 60), seed=st.integers(0, 99))
def test_counts_as_scikit_learn_does(classes: int, samples: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(samples, classes))
    target = generator.integers(0, classes, samples)
    known = list(range(max(classes, 2) if classes == 1 else classes))

    matrix = confusion_matrix({"logits": logits, "target": target})

    expected = of_sklearn(target, predicted_classes(logits), labels=known)
    np.testing.assert_array_equal(matrix, expected)
    assert matrix.sum() == samples


def test_a_class_that_has_no_logit_has_a_row_all_the_same() -> None:
    matrix = confusion_matrix({"logits": np.zeros((2, 2)), "target": np.array([0, 3])})
    assert matrix.tolist() == [[1, 0, 0, 0], [0] * 4, [0] * 4, [1, 0, 0, 0]]


@pytest.mark.parametrize(
    ("logits", "target", "counted"),
    [
        (np.array([2.0, -1.0]), np.array([0.9, 0.2]), [[1, 0], [0, 1]]),
        (np.array([[2.0, 0.0], [2.0, 0.0]]), np.array([[0.6, 0.4], [0.1, 0.9]]), [[1, 0], [1, 0]]),
        (np.array([[2.0, 0.0], [2.0, 0.0]]), np.array([0.0, 1.0]), [[1, 0], [1, 0]]),
    ],
)
def test_the_likeliest_class_of_a_soft_target_is_counted(
    logits: Any, target: Any, counted: list[list[int]]
) -> None:
    assert confusion_matrix({"logits": logits, "target": target}).tolist() == counted


@pytest.mark.parametrize(
    ("logits", "target"),
    [
        (np.zeros(2), [1, 2]),
        (np.zeros(2), [-1, 1]),
        (np.zeros((2, 3)), [-1, 1]),
        (np.zeros((2, 3)), [0.5, 1]),
        (np.zeros((2, 3)), [0, 1, 2]),
        (np.zeros((2, 3, 4)), [0, 1]),
    ],
)
def test_a_target_that_is_no_class_is_refused(logits: Any, target: list[float]) -> None:
    arrays = {"logits": logits, "label": np.array(target)}
    if logits.ndim == 3:
        arrays["label"] = np.zeros((2, 4))
    with pytest.raises(ll.DataError, match="'label' has"):
        confusion_matrix(arrays, target="label")


@pytest.mark.parametrize(
    ("at", "asked"), [("epoch_end", "loops_acc"), ("train_end", "loaders_acc")]
)
def test_in_a_run_counts_every_sample_once_at_the_moment_of_the_evaluation(
    at: str, asked: str, tmp_path: Path
) -> None:
    parts = tiny()
    acc: Any = getattr(parts, asked)(when=at)
    confusion = ll.ConfusionMatrix(tmp_path / "new" / "confusion.csv", acc, "val")
    seen: list[int] = []

    class Looks:
        def epoch_end(self) -> None:
            seen.append(len(confusion.images()))

        def train_end(self) -> None:
            seen.append(len(confusion.images()))

    parts.host(acc, confusion, Looks()).run()

    table = read(tmp_path / "new" / "confusion.csv")
    assert table[0] == ["target", "0", "1", "2"]
    assert sum(int(count) for row in table[1:] for count in row[1:]) == 9
    assert seen == ([1, 1, 0] if at == "epoch_end" else [0, 0, 1])


@pytest.mark.parametrize("classes", [2, 10, 25, 100, 1000])
def test_the_picture_shows_shares_of_rows(classes: int) -> None:
    matrix = np.zeros((classes, classes), np.int64)
    matrix[0, 1] = 7
    picture = matrix_picture(matrix, list(map(str, range(classes))))

    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert max(picture.shape) <= 1200
    margin, cell = (56, 40) if classes <= 25 else (0, 1000 // classes)
    assert picture[margin, margin + cell].tolist() == [8, 48, 107]
    assert picture[margin + cell, margin].tolist() == [255, 255, 255]


def test_says_what_is_wrong(tmp_path: Path) -> None:
    class Evaluated:
        when, datasets = "epoch_end", ("val",)

        def collect(self, name: str) -> dict[str, Any]:
            return {"target": np.array([0, 2]), "scores": np.zeros((2, 3))}

    path, evaluated = tmp_path / "confusion.csv", Evaluated()
    with pytest.raises(ll.ArgumentError, match="acc_key is 'vaal', which is not evaluated"):
        ll.ConfusionMatrix(path, evaluated, "vaal")
    with pytest.raises(ll.DataError, match=r"confusion.csv needs 'logits', which no accumulator"):
        ll.ConfusionMatrix(path, evaluated, "val").epoch_end()
    with pytest.raises(ll.DataError, match=r"confusion.csv: 2 class_names for 3 classes"):
        ll.ConfusionMatrix(path, evaluated, "val", key="scores", class_names=["a", "b"]).epoch_end()
