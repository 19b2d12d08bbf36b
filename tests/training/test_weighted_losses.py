from __future__ import annotations

from typing import Any

import pytest
import torch

import legoloop as ll
from tests.tiny import mean_loss, sample_losses, tiny, weights


def size_of_logits(batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
    return outputs["logits"].square().mean(dim=1)


def both(first: Any = mean_loss, **given: Any) -> ll.WeightedLosses:
    return ll.WeightedLosses({"name": first, "size": size_of_logits}, {"size": 0.1}, **given)


@pytest.mark.parametrize("first", [mean_loss, sample_losses])
def test_trains_as_the_sum_written_by_hand_does(first: Any) -> None:
    def by_hand(batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
        return first(batch, outputs).mean() + 0.1 * size_of_logits(batch, outputs).mean()

    losses = both(first)
    one, other = tiny(loss=losses), tiny(loss=by_hand)
    one.trained(losses)
    other.trained()
    for left, right in zip(one.model.parameters(), other.model.parameters(), strict=True):
        torch.testing.assert_close(left, right)


@pytest.mark.parametrize("micro_batch_size", [None, 3])
@pytest.mark.parametrize("first", [mean_loss, sample_losses])
def test_what_is_reported_adds_up_to_the_loss(first: Any, micro_batch_size: int | None) -> None:
    losses, total = both(first), ll.TrainLoss()
    parts = tiny(batch_size=8, loss=losses)
    parts.descent.micro_batch_size = micro_batch_size
    parts.trained(losses, total)
    reported = losses.scalars()
    assert list(reported) == ["loss/name", "loss/size"]
    expected = reported["loss/name"] + 0.1 * reported["loss/size"]
    assert total.scalars()["loss"] == pytest.approx(expected, rel=1e-5)


def test_one_value_per_sample_if_all_give_one() -> None:
    batch, outputs = {"target": torch.tensor([0, 1])}, {"logits": torch.randn(2, 3)}
    assert both(sample_losses)(batch, outputs).shape == (2,)
    assert both(mean_loss)(batch, outputs).shape == ()


def test_listing_it_changes_no_bit_of_the_training() -> None:
    losses = both()
    listed, unlisted = tiny(loss=losses), tiny(loss=both())
    listed.trained(losses)
    unlisted.trained()
    assert weights(listed.model) == weights(unlisted.model)
    assert losses.scalars()


def test_a_step_that_the_guard_skips_is_not_in_the_mean() -> None:
    given = iter([1.0, float("nan"), 3.0, 5.0, 7.0, 9.0])

    def loss(batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
        return outputs["logits"].sum() * 0 + next(given)

    losses = ll.WeightedLosses({"only": loss})
    parts = tiny(num_epochs=1, batch_size=11, epoch_size=44)
    parts.descent = ll.GradientDescent(
        parts.opt, parts.model, parts.feed, losses, guard=ll.NonFiniteGuard("skip")
    )
    parts.trained(losses)
    assert losses.scalars() == {"loss/only": 3.0}


def test_refuses_a_weight_of_no_loss_and_no_losses() -> None:
    with pytest.raises(ll.ArgumentError, match="weights has 'nam'; did you mean name"):
        ll.WeightedLosses({"name": mean_loss}, {"nam": 1.0})
    with pytest.raises(ll.ArgumentError, match="losses is empty"):
        ll.WeightedLosses({})


def test_what_an_evaluation_asks_it_for_is_no_part_of_the_means() -> None:
    losses = ll.WeightedLosses({"size": lambda batch, outputs: outputs["y"].mean()})
    step = ll.Step()
    losses({"x": [0] * 9}, {"y": torch.full((9,), 100.0)})
    losses.batch_start(step)
    losses({"x": [0]}, {"y": torch.ones(1)})
    step.size = 1
    losses.batch_end(step)
    losses({"x": [0] * 9}, {"y": torch.full((9,), 100.0)})
    losses.batch_start(step)
    losses({"x": [0]}, {"y": torch.ones(1)})
    losses.batch_end(step)
    assert losses.scalars() == {"loss/size": 1.0}


def test_means_go_on_for_the_losses_that_are_still_there() -> None:
    before = ll.WeightedLosses({"kept": mean_loss, "gone": mean_loss})
    for mean in before.means.values():
        mean.add(torch.tensor(4.0), weight=2)
    losses = ll.WeightedLosses({"new": mean_loss, "kept": mean_loss})
    losses.load_state_dict(before.state_dict())
    assert losses.scalars() == {"loss/kept": 4.0}
