from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from legoloop.core.errors import ArgumentError, DataError
from legoloop.zoo.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError

LOGITS = torch.tensor([[2.0, 0.0, 1.0], [0.0, 0.5, 0.0], [1.0, 1.0, 3.0]])
CLASSES = torch.tensor([0, 2, 1])
PAIRS: list[tuple[Any, dict[str, Any], dict[str, Any]]] = [
    (CrossEntropy, {"target": CLASSES}, {"logits": LOGITS}),
    (BinaryCrossEntropy, {"target": torch.tensor([0.0, 1.0, 1.0])}, {"logits": LOGITS[0]}),
    (MeanSquaredError, {"target": LOGITS[1]}, {"prediction": LOGITS[0]}),
    (MeanSquaredError, {"target": LOGITS.flip(0)}, {"prediction": LOGITS}),
]


@pytest.mark.parametrize(("kind", "batch", "outputs"), PAIRS)
def test_the_mean_is_that_of_the_values_per_sample(
    kind: Any, batch: dict[str, Any], outputs: dict[str, Any]
) -> None:
    values = kind(reduction="none")(batch, outputs)
    assert values.shape == (3,)
    torch.testing.assert_close(values.mean(), kind()(batch, outputs))


def test_the_losses_are_those_of_torch() -> None:
    cross = CrossEntropy(label_smoothing=0.1)({"target": CLASSES}, {"logits": LOGITS})
    assert cross == functional.cross_entropy(LOGITS, CLASSES, label_smoothing=0.1)
    target = torch.tensor([0, 1, 1])
    binary = BinaryCrossEntropy()({"target": target}, {"logits": LOGITS[0]})
    assert binary == functional.binary_cross_entropy_with_logits(LOGITS[0], target.float())
    squared = MeanSquaredError()({"target": LOGITS[1]}, {"prediction": LOGITS[0]})
    assert squared == functional.mse_loss(LOGITS[0], LOGITS[1])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_classes_may_be_any_whole_numbers(dtype: torch.dtype) -> None:
    loss = CrossEntropy()
    expected = loss({"target": CLASSES}, {"logits": LOGITS})
    assert loss({"target": CLASSES.to(dtype)}, {"logits": LOGITS}) == expected


def test_other_columns_can_be_named() -> None:
    loss = CrossEntropy(output="coarse", target="group")
    assert loss({"group": CLASSES}, {"coarse": LOGITS}).ndim == 0


@pytest.mark.parametrize("label", [3, -1, -100])
def test_a_label_that_is_no_class_is_refused_with_its_idx(label: int) -> None:
    batch = {"idx": torch.tensor([17, 4, 9]), "target": torch.tensor([0, label, 1])}
    with pytest.raises(DataError) as refused:
        CrossEntropy()(batch, {"logits": LOGITS})
    assert str(refused.value) == f"'target' has labels other than 0 to 2: {label} at idx 4"


def test_at_most_five_samples_are_named() -> None:
    batch = {"idx": [f"sample {n}" for n in range(8)], "target": torch.arange(8)}
    with pytest.raises(DataError) as refused:
        CrossEntropy()(batch, {"logits": torch.zeros(8, 1)})
    assert str(refused.value) == (
        "'target' has labels other than 0 to 0: 1 at idx sample 1, 2 at idx sample 2, "
        "3 at idx sample 3, 4 at idx sample 4, 5 at idx sample 5, and 2 more"
    )


def test_samples_without_idx_are_named_by_their_place_in_the_batch() -> None:
    with pytest.raises(DataError, match=r"5 at idx 2$"):
        CrossEntropy()({"target": torch.tensor([0, 0, 5])}, {"logits": LOGITS})


@pytest.mark.parametrize("labels", [[1.0, 2.0, 1.0], [-1.0, 1.0, 1.0], [1, 2, 1]])
def test_a_binary_label_is_0_or_1(labels: list[float]) -> None:
    batch = {"idx": torch.tensor([17, 4, 9]), "target": torch.tensor(labels)}
    with pytest.raises(DataError, match=r"'target' has labels other than 0 to 1: .* at idx"):
        BinaryCrossEntropy()(batch, {"logits": LOGITS[0]})


@pytest.mark.parametrize(
    ("loss", "batch", "outputs", "what"),
    [
        (
            CrossEntropy(),
            {"target": torch.rand(3)},
            {"logits": LOGITS},
            "'target' is torch.float32; class indices are integers",
        ),
        (
            CrossEntropy(),
            {"target": CLASSES},
            {"prediction": LOGITS},
            "what the model returns has no 'logits'; there are prediction",
        ),
        (
            MeanSquaredError(),
            {"targets": LOGITS},
            {"prediction": LOGITS},
            "the batch has no 'target'; did you mean targets?",
        ),
        (
            MeanSquaredError(),
            {"target": torch.rand(3, 1)},
            {"prediction": torch.rand(3)},
            r"'prediction' has shape \(3,\), but 'target' has \(3, 1\)",
        ),
        (
            BinaryCrossEntropy(),
            {"target": torch.ones(3)},
            {"logits": LOGITS},
            r"'logits' has shape \(3, 3\), but 'target' has \(3,\)",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(
    loss: Any, batch: dict[str, Any], outputs: dict[str, Any], what: str
) -> None:
    with pytest.raises(DataError, match=what):
        loss(batch, outputs)


@pytest.mark.parametrize("kind", [CrossEntropy, BinaryCrossEntropy, MeanSquaredError])
def test_an_unknown_reduction_is_refused(kind: Any) -> None:
    with pytest.raises(ArgumentError, match="reduction is 'sum'; there are mean, none"):
        kind(reduction="sum")


def test_label_smoothing_is_from_0_to_1() -> None:
    with pytest.raises(ArgumentError, match="label_smoothing is 2; give a number from 0 to 1"):
        CrossEntropy(label_smoothing=2)
