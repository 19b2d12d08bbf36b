from __future__ import annotations

import pytest
import torch

from legoloop.core.errors import ArgumentError
from legoloop.zoo.heads import Head, outputs_for


def test_multiclass_outputs_are_logits_and_their_softmax() -> None:
    raw = torch.randn(4, 3)
    outputs = outputs_for("multiclass", raw)
    assert torch.equal(outputs["logits"], raw)
    torch.testing.assert_close(outputs["probas"].sum(dim=1), torch.ones(4))
    assert torch.equal(outputs["probas"].argmax(dim=1), raw.argmax(dim=1))


def test_binary_outputs_are_one_logit_a_sample_and_its_sigmoid() -> None:
    outputs = outputs_for("binary", torch.tensor([[0.0], [100.0], [-100.0]]))
    assert outputs["logits"].tolist() == [0, 100, -100]
    torch.testing.assert_close(outputs["probas"], torch.tensor([0.5, 1.0, 0.0]))


@pytest.mark.parametrize(("num_outputs", "shape"), [(1, (4,)), (2, (4, 2))])
def test_a_regression_predicts_as_many_numbers_as_there_are_targets(
    num_outputs: int, shape: tuple[int, ...]
) -> None:
    outputs = Head(5, num_outputs, "regression")(torch.rand(4, 5))
    assert outputs.keys() == {"prediction"}
    assert outputs["prediction"].shape == shape


@pytest.mark.parametrize(
    ("num_outputs", "task", "what"),
    [
        (3, "multi_class", "task is 'multi_class'; did you mean multiclass?"),
        (1, "multiclass", "num_outputs is 1; give a whole number of at least 2"),
        (2, "binary", "num_outputs is 2; a binary task has 1 output"),
        (0, "regression", "num_outputs is 0; give a whole number of at least 1"),
    ],
)
def test_outputs_that_a_task_cannot_have_are_refused(
    num_outputs: int, task: str, what: str
) -> None:
    with pytest.raises(ArgumentError, match=what):
        Head(5, num_outputs, task)
