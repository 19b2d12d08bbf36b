from __future__ import annotations

from typing import Any

import pytest
import torch

import legoloop as ll
from tests.tiny import Tiny, mean_loss, tiny

FIRST = ["layers.0.*", "layers.1.*"]


def state(parts: Tiny) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in parts.model.state_dict().items()}


class Changes:
    """What changed in each epoch, by name."""

    def __init__(self, parts: Tiny) -> None:
        self.parts = parts
        self.last = state(parts)
        self.seen: list[set[str]] = []

    def epoch_end(self) -> None:
        after = state(self.parts)
        self.seen.append({n for n in after if not torch.equal(after[n], self.last[n])})
        self.last = after


OPTIMIZERS = {
    "AdamW": lambda weights: torch.optim.AdamW(weights, lr=0.01, weight_decay=0.1),
    "SGD": lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=0.1),
}


def with_optimizer(name: str, **given: Any) -> Tiny:
    parts = tiny(**given)
    parts.opt = OPTIMIZERS[name](parts.model.parameters())
    parts.descent = ll.GradientDescent(parts.opt, parts.model, parts.feed, mean_loss)
    return parts


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_is_frozen_gets_no_update_no_decay_and_no_statistics(optimizer: str) -> None:
    parts = with_optimizer(optimizer, num_epochs=3)
    names = set(parts.model.state_dict())
    frozen = {name for name in names if name.startswith(("layers.0.", "layers.1."))}
    changes = Changes(parts)

    parts.trained(ll.Freeze(parts.descent, parts.counter, FIRST, unfreeze_after_epochs=2), changes)

    assert changes.seen == [names - frozen, names - frozen, names]


def test_never_unfrozen_unless_told() -> None:
    parts = tiny(num_epochs=2)
    changes = Changes(parts)
    parts.trained(ll.Freeze(parts.descent, parts.counter, FIRST), changes)
    assert changes.seen == [{"layers.4.weight", "layers.4.bias"}] * 2


def test_when_the_run_is_over_the_model_may_learn_again() -> None:
    parts = tiny()
    parts.trained(ll.Freeze(parts.descent, parts.counter, FIRST))
    assert all(weight.requires_grad for weight in parts.model.parameters())


def test_no_epochs_is_as_without() -> None:
    parts = tiny()
    assert parts.trained(ll.Freeze(parts.descent, parts.counter, FIRST, 0)) == tiny().trained()


def test_equals_leaving_the_parameters_out_of_the_optimizer() -> None:
    frozen, left_out = tiny(), tiny()
    head: Any = left_out.model
    for module in head.layers[:2]:
        module.requires_grad_(False)
    left_out.opt = torch.optim.Adam(head.layers[4].parameters(), lr=0.01)
    left_out.descent = ll.GradientDescent(left_out.opt, head, left_out.feed, mean_loss)

    class NormEvaluates:
        after = (ll.GradientDescent,)

        def train_start(self) -> None:
            head.layers[1].eval()

    trained = frozen.trained(ll.Freeze(frozen.descent, frozen.counter, FIRST))
    assert trained == left_out.trained(NormEvaluates())


def test_patterns_of_parameters_alone_leave_the_statistics_learning() -> None:
    parts = tiny(num_epochs=1)
    changes = Changes(parts)
    parts.trained(ll.Freeze(parts.descent, parts.counter, ["layers.1.weight"]), changes)
    assert "layers.1.running_mean" in changes.seen[0]
    assert "layers.1.weight" not in changes.seen[0]


def test_a_parameter_that_needed_no_gradient_before_stays_so() -> None:
    parts = tiny()
    fixed: Any = parts.model
    fixed.layers[0].bias.requires_grad_(False)
    changes = Changes(parts)
    parts.trained(ll.Freeze(parts.descent, parts.counter, FIRST, unfreeze_after_epochs=1), changes)
    assert "layers.0.weight" in changes.seen[1]
    assert "layers.0.bias" not in changes.seen[1]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "patterns is empty; give patterns such as"),
        (
            ["layers.0.*", "body.*"],
            r"patterns has 'body\.\*', which matches nothing; there are layers.0",
        ),
        (["*"], r"patterns leaves no parameter to train"),
    ],
)
def test_refuses_patterns_that_cannot_be_meant(names: list[str], message: str) -> None:
    parts = tiny()
    with pytest.raises(ll.ArgumentError, match=message):
        ll.Freeze(parts.descent, parts.counter, names)


def test_refuses_a_negative_number_of_epochs() -> None:
    parts = tiny()
    with pytest.raises(ll.ArgumentError, match="unfreeze_after_epochs is -1; give a whole"):
        ll.Freeze(parts.descent, parts.counter, FIRST, unfreeze_after_epochs=-1)
