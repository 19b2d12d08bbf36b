"""What every loss that ships keeps to: it is a mean over samples, or over tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from legoloop.training.step.micro_batches import split_batch
from legoloop.zoo.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError
from legoloop.zoo.token_losses import TokenCrossEntropy
from tests.bricks import bricks

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Case:
    """A loss, and what it is made for: a batch and outputs of so many samples."""

    kind: type
    made: Callable[..., Any]
    batch: Callable[[int], Tensors]
    outputs: Callable[[int], Tensors]
    desc: type = ll.DefaultBatchDesc
    per_sample: bool = True


def classes(samples: int) -> Tensors:
    return {"target": torch.randint(3, (samples,))}


def logits(samples: int) -> Tensors:
    return {"logits": torch.randn(samples, 3)}


def tokens(samples: int) -> Tensors:
    mask = torch.rand(samples, 4) < 0.7
    mask[:, 0] = True
    return {"target": torch.randint(3, (samples, 4)), "mask": mask}


def both(**given: Any) -> ll.WeightedLosses:
    smooth = CrossEntropy(label_smoothing=0.1, **given)
    return ll.WeightedLosses({"hard": CrossEntropy(**given), "smooth": smooth}, {"smooth": 0.5})


CASES = {
    "CrossEntropy": Case(CrossEntropy, CrossEntropy, classes, logits),
    "BinaryCrossEntropy": Case(
        BinaryCrossEntropy,
        BinaryCrossEntropy,
        lambda samples: {"target": torch.randint(2, (samples,)).float()},
        lambda samples: {"logits": torch.randn(samples)},
    ),
    "MeanSquaredError": Case(
        MeanSquaredError,
        MeanSquaredError,
        lambda samples: {"target": torch.randn(samples, 2)},
        lambda samples: {"prediction": torch.randn(samples, 2)},
    ),
    "TokenCrossEntropy": Case(
        TokenCrossEntropy,
        TokenCrossEntropy,
        tokens,
        lambda samples: {"logits": torch.randn(samples, 4, 3)},
        desc=ll.TokenBatchDesc,
        per_sample=False,
    ),
    "WeightedLosses": Case(ll.WeightedLosses, both, classes, logits),
}
CASES["CrossEntropy of shares"] = replace(
    CASES["CrossEntropy"],
    batch=lambda samples: {"target": torch.rand(samples, 3).softmax(dim=1)},
)
every_loss = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
seeds, sizes = st.integers(0, 2**30), st.integers(1, 12)


def test_none_is_missing_here() -> None:
    ship = {brick.thing for brick in bricks() if "losses." in brick.target}
    assert {case.kind for case in CASES.values()} == ship | {ll.WeightedLosses}


@every_loss
@given(samples=sizes, of_part=sizes, seed=seeds)
def test_the_mean_over_the_parts_is_that_of_the_whole(
    case: Case, samples: int, of_part: int, seed: int
) -> None:
    torch.manual_seed(seed)
    batch, outputs, loss = case.batch(samples), case.outputs(samples), case.made()
    size = case.desc()
    parts = zip(split_batch(batch, of_part), split_batch(outputs, of_part), strict=True)
    summed = sum(size(part) * loss(part, given) for part, given in parts)
    torch.testing.assert_close(summed / size(batch), loss(batch, outputs))


@every_loss
@given(samples=sizes, seed=seeds)
def test_does_not_depend_on_the_order_of_the_samples(case: Case, samples: int, seed: int) -> None:
    torch.manual_seed(seed)
    batch, outputs, loss = case.batch(samples), case.outputs(samples), case.made()
    order = torch.randperm(samples)
    mixed = loss(*({key: of[key][order] for key in of} for of in (batch, outputs)))
    torch.testing.assert_close(mixed, loss(batch, outputs))


@pytest.mark.parametrize("case", [case for case in CASES.values() if case.per_sample])
@given(samples=sizes, seed=seeds)
def test_is_the_mean_of_the_values_of_the_samples(case: Case, samples: int, seed: int) -> None:
    torch.manual_seed(seed)
    batch, outputs = case.batch(samples), case.outputs(samples)
    each = case.made(reduction="none")(batch, outputs)
    assert each.shape == (samples,)
    torch.testing.assert_close(each.mean(), case.made()(batch, outputs))


@every_loss
def test_a_step_against_its_gradient_makes_it_less(case: Case) -> None:
    torch.manual_seed(0)
    batch, loss = case.batch(8), case.made()
    outputs = {key: value.requires_grad_() for key, value in case.outputs(8).items()}
    before = loss(batch, outputs)
    before.backward()
    stepped = {key: value.detach() - 0.1 * value.grad for key, value in outputs.items()}
    assert loss(batch, stepped) < before


@every_loss
@pytest.mark.parametrize("of", ["batch", "outputs"])
def test_names_what_is_not_there(case: Case, of: str) -> None:
    batch, outputs = case.batch(3), case.outputs(3)
    lacking = batch if of == "batch" else outputs
    for key in list(lacking):
        value = lacking.pop(key)
        with pytest.raises(ll.DataError, match=f"has no '{key}'"):
            case.made()(batch, outputs)
        lacking[key] = value
