from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from legoloop.zoo.losses import CrossEntropy


def a_batch(samples: int = 6) -> dict[str, Any]:
    return {
        "x": torch.randn(samples, 3, generator=torch.Generator().manual_seed(1)),
        "target": torch.arange(samples) % 4,
        "idx": torch.arange(samples),
    }


def mixup(task: str = "multiclass", **given: Any) -> ll.Mixup:
    return ll.Mixup(task=task, num_outputs=4, input_key="x", **given)


@given(alpha=st.floats(0.05, 5), seed=st.integers(0, 99), samples=st.integers(1, 9))
def test_inputs_and_targets_are_mixed_alike_and_each_keeps_the_larger_share(
    alpha: float, seed: int, samples: int
) -> None:
    torch.manual_seed(seed)
    batch = a_batch(samples)
    mixed = mixup(alpha=alpha)(batch)
    targets, own = mixed["mixed_target"], batch["target"]
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(samples))
    assert (targets[torch.arange(samples), own] >= 0.5 - 1e-6).all()
    for key in ("target", "idx"):
        assert torch.equal(mixed[key], batch[key])
    torch.testing.assert_close(mixed["x"].sum(dim=0), batch["x"].sum(dim=0))


def test_the_draws_are_those_of_the_generator() -> None:
    torch.manual_seed(0)
    first = mixup()(a_batch())["x"]
    second = mixup()(a_batch())["x"]
    torch.manual_seed(0)
    assert torch.equal(mixup()(a_batch())["x"], first)
    assert not torch.equal(first, second)


def test_numbers_are_mixed_as_they_are_and_bytes_as_they_reach_the_model() -> None:
    batch = {"x": torch.full((2, 3), 255, dtype=torch.uint8), "target": torch.tensor([0.0, 1.0])}
    mixed = mixup("regression")(batch)
    assert (mixed["x"] == 1).all()
    assert mixed["mixed_target"].sum() == 1


def test_the_loss_of_a_mixture_is_the_mixture_of_the_losses() -> None:
    mixed, logits = mixup(alpha=1.0)(a_batch()), torch.randn(6, 4)
    by_class = torch.stack(
        [
            CrossEntropy(reduction="none")({"target": torch.full((6,), label)}, {"logits": logits})
            for label in range(4)
        ],
        dim=1,
    )
    loss = CrossEntropy(target="mixed_target", reduction="none")(mixed, {"logits": logits})
    torch.testing.assert_close(loss, (mixed["mixed_target"] * by_class).sum(dim=1))


def test_as_a_transform_of_a_data_set_it_is_a_function_of_the_position() -> None:
    columns = {key: value for key, value in a_batch(12).items() if key != "idx"}
    loops = [
        ll.BatchStream(
            ll.ColumnDataset(columns, mixup()), "train", 0, ll.LoaderConfig(batch_size=4)
        )
        for _ in range(2)
    ]
    loops[0].load_state_dict({"position": 4})
    for _ in range(4):
        next(loops[1])
    assert torch.equal(next(loops[0])["x"], next(loops[1])["x"])


@pytest.mark.parametrize("alpha", [0, -1.0, True])
def test_refuses_an_alpha_that_is_not_above_0(alpha: Any) -> None:
    with pytest.raises(ll.ArgumentError, match=r"alpha is .*; give a number above 0"):
        mixup(alpha=alpha)
