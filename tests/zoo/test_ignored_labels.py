"""Labels that do not count: in losses, in the weights of micro-batches, and in metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

import legoloop as ll
from legoloop.evaluation.metrics import multiclass
from legoloop.zoo.losses import CrossEntropy
from legoloop.zoo.token_losses import TokenCrossEntropy
from tests.tiny import tiny

labels = st.lists(st.sampled_from([0, 1, 2, 255]), min_size=1, max_size=12)


def logits_for(target: list[int]) -> torch.Tensor:
    return torch.randn(len(target), 3, generator=torch.Generator().manual_seed(len(target)))


@given(target=labels, smoothing=st.sampled_from([0.0, 0.2]))
def test_the_mean_is_that_of_torch_and_0_where_none_counts(
    target: list[int], smoothing: float
) -> None:
    logits = logits_for(target).requires_grad_(True)
    batch, outputs = {"target": torch.tensor(target)}, {"logits": logits}
    given: Any = {"ignore_index": 255, "label_smoothing": smoothing}
    loss = CrossEntropy(**given)(batch, outputs)
    loss.backward()
    assert logits.grad is not None
    if all(label == 255 for label in target):
        assert loss == 0
        assert not logits.grad.any()
    else:
        torch.testing.assert_close(loss, cross_entropy(logits, batch["target"], **given))
    each = CrossEntropy("none", **given)(batch, outputs)
    expected = cross_entropy(logits, batch["target"], **given, reduction="none")
    torch.testing.assert_close(each, expected)
    assert not each[batch["target"] == 255].any()


def test_a_label_that_is_neither_a_class_nor_ignored_is_told() -> None:
    batch = {"target": torch.tensor([0, 255, 7]), "idx": torch.tensor([4, 5, 6])}
    with pytest.raises(ll.DataError, match=r"7.*idx.*6") as caught:
        CrossEntropy(ignore_index=255)(batch, {"logits": torch.zeros(3, 3)})
    assert "255" not in str(caught.value)


def test_none_is_ignored_unasked() -> None:
    batch = {"target": torch.tensor([0, -100])}
    with pytest.raises(ll.DataError, match="-100"):
        CrossEntropy()(batch, {"logits": torch.zeros(2, 3)})


@given(target=labels)
def test_metrics_are_those_of_the_others(target: list[int]) -> None:
    logits, classes = logits_for(target).numpy(), np.array(target)
    accumulated = {"logits": logits, "target": classes}
    counted = classes != 255
    if not counted.any():
        with pytest.raises(ll.DataError, match="no label but 255, which is ignored"):
            multiclass(accumulated, ignore_index=255)
        return
    others = {name: column[counted] for name, column in accumulated.items()}
    assert multiclass(accumulated, ignore_index=255) == multiclass(others)


def sentences() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 3, (6, 5), generator=generator)
    length = torch.tensor([5, 1, 3, 2, 4, 0])
    mask = torch.arange(5) < length[:, None]
    return {"target": target.where(mask, -100), "mask": mask}


def test_tokens_to_ignore_are_those_of_a_mask() -> None:
    batch = sentences()
    outputs = {"logits": torch.randn(6, 5, 3, generator=torch.Generator().manual_seed(1))}
    masked = TokenCrossEntropy()(batch, outputs)
    assert torch.equal(TokenCrossEntropy(mask=None, ignore_index=-100)(batch, outputs), masked)
    expected = cross_entropy(outputs["logits"].flatten(0, 1), batch["target"].flatten())
    torch.testing.assert_close(masked, expected)
    both = {**batch, "mask": batch["mask"] & (torch.arange(5) > 0)}
    one = TokenCrossEntropy(ignore_index=-100)(both, outputs)
    assert torch.equal(one, TokenCrossEntropy()(both, outputs))


def test_they_are_counted_alike() -> None:
    batch = sentences()
    by_class = ll.TokenBatchDesc(mask=None, ignore_index=-100)
    assert by_class(batch) == ll.TokenBatchDesc()(batch) == 15
    with pytest.raises(ll.ArgumentError, match="mask is None, and so is ignore_index"):
        ll.TokenBatchDesc(mask=None)


def test_micro_batches_make_the_step_of_the_batch() -> None:
    """Weighed by the labels that count."""

    class Counts:
        def __call__(self, batch: Any) -> int:
            return int((batch["target"] != 255).sum())

    gradients = []
    for size in (None, 2):
        parts = tiny()
        parts.model.eval()
        descent = ll.GradientDescent(
            *(parts.opt, parts.model, parts.feed, CrossEntropy(ignore_index=255)),
            micro_batch_size=size,
            batch_desc=Counts(),
        )
        step = ll.Step()
        step.batch = {
            "x": torch.randn(6, 4, generator=torch.Generator().manual_seed(0)),
            "target": torch.tensor([0, 255, 255, 255, 1, 2]),
        }
        descent.batch(step)
        gradients.append(parts.model.layers[4].weight.grad)
    torch.testing.assert_close(*gradients)
