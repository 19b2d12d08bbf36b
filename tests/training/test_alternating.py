from __future__ import annotations

from itertools import count
from typing import Any

import pytest
import torch

import legoloop as ll
from tests.tiny import Net, Tiny, mean_loss, tiny, weights


def a_second(parts: Tiny, loss: Any = mean_loss, **given: Any) -> ll.GradientDescent:
    """A descent of another model on the same batches."""
    torch.manual_seed(1)
    model = Net()
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    return ll.GradientDescent(opt, model, ll.Feed(model, "cpu"), loss, **given)


def run(parts: Tiny, *plugins: object) -> None:
    ll.TrainingHost([parts.counter, parts.epoch, parts.last, *plugins]).run()


def test_a_turn_of_every_batch_is_the_descent_itself_bit_for_bit() -> None:
    parts = tiny()
    run(parts, ll.AlternatingDescent(parts.descent, tag="loss/only"))
    assert weights(parts.model) == tiny().trained()


@pytest.mark.parametrize(("every", "at"), [(1, 0), (2, 0), (2, 1), (5, 3)])
def test_steps_are_made_at_its_turn_across_epochs_and_counted_apart(every: int, at: int) -> None:
    parts, batches = tiny(num_epochs=3), count()
    made: list[int] = []
    parts.opt.register_step_post_hook(lambda *given: made.append(next(batches)))
    turn = ll.AlternatingDescent(parts.descent, "loss/first", every, at)
    other = ll.AlternatingDescent(a_second(parts), "loss/second")
    run(parts, turn, other)
    steps = parts.counter.steps
    assert steps == other.steps == 18
    assert turn.steps == len(made) == len(range(at, steps, every))
    assert turn.epochs == parts.counter.epochs
    assert other.samples == parts.counter.samples == 66


def test_losses_are_reported_apart() -> None:
    parts = tiny(num_epochs=1)
    first, second = (
        ll.AlternatingDescent(parts.descent, "loss/first"),
        ll.AlternatingDescent(a_second(parts), "loss/second", every=2),
    )
    history = ll.History(parts.counter, [first, second])
    run(parts, first, second, history)
    (row,) = history.rows.values()
    assert row.keys() == {"loss/first", "loss/second"}
    assert row["loss/first"] != row["loss/second"]


def test_a_turn_that_the_guard_skips_is_none_for_the_other() -> None:
    def nan(batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
        return outputs["logits"].sum() * torch.nan

    parts = tiny()
    skipped = ll.AlternatingDescent(
        a_second(parts, nan, guard=ll.NonFiniteGuard("skip")), "loss/skipped"
    )
    made = ll.AlternatingDescent(parts.descent, "loss/made")
    run(parts, skipped, made)
    assert weights(parts.model) != weights(tiny().model)
    assert (skipped.samples, made.samples) == (0, 44)
    assert skipped.scalars() == {}


def test_it_is_the_counter_of_its_own_schedule() -> None:
    parts = tiny(num_epochs=2)
    turn = ll.AlternatingDescent(parts.descent, "loss/first", every=3)
    halving = torch.optim.lr_scheduler.ExponentialLR(parts.opt, gamma=0.5)
    run(parts, turn, ll.LRScheduler(halving, turn, interval="step"))
    assert turn.steps == 4
    assert parts.opt.param_groups[0]["lr"] == pytest.approx(0.01 * 0.5**4)


def test_it_stands_in_for_its_descent() -> None:
    parts = tiny()
    turn = ll.AlternatingDescent(parts.descent, "loss/first")
    average = ll.ExponentialMovingAverage(turn)
    freeze = ll.Freeze(turn, parts.counter, ["layers.0.*"])
    before = parts.model.layers[0].weight.clone()
    run(parts, average, freeze, turn)
    assert torch.equal(parts.model.layers[0].weight, before)
    assert average.model is not turn.model


def test_refuses_a_place_that_never_comes() -> None:
    parts = tiny()
    with pytest.raises(ll.ArgumentError, match="offset is 2; give less than every, which is 2"):
        ll.AlternatingDescent(parts.descent, "loss", every=2, offset=2)
    with pytest.raises(ll.ArgumentError, match="every is 0"):
        ll.AlternatingDescent(parts.descent, "loss", every=0)


def test_an_average_is_over_the_steps_of_its_turn() -> None:
    parts = tiny()
    turn = ll.AlternatingDescent(parts.descent, "loss/first", every=3)
    average = ll.ExponentialMovingAverage(turn, decay=0.5)
    stepped: list[torch.Tensor] = []
    for number, batch in zip(range(6), parts.loops["train"], strict=False):
        step = ll.Step()
        step.batch, step.size = dict(batch), len(batch["idx"])
        turn.batch(step)
        average.batch(step)
        if number % 3 == 0:
            stepped.append(parts.model.layers[0].weight.detach().clone())
    torch.testing.assert_close(average.model.layers[0].weight, (stepped[0] + stepped[1]) / 2)
