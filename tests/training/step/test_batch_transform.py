from __future__ import annotations

from typing import Any

import torch

import legoloop as ll
from tests.tiny import accuracy, mean_loss, tiny


def shifted(batch: dict[str, Any]) -> dict[str, Any]:
    return {**batch, "x": batch["x"] + torch.randn(())}


def test_the_training_sees_what_it_makes_and_evaluations_do_not() -> None:
    seen: list[torch.Tensor] = []

    def loss(batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
        seen.append(batch["x"])
        return mean_loss(batch, outputs)

    parts = tiny(num_epochs=1, batch_size=22, loss=loss)
    given = next(tiny(batch_size=22).loops["train"])["x"]
    factory = ll.CompositeFactory(x=ll.NumpyAccumulator)
    acc = parts.loaders_acc(factory=factory)
    parts.trained(ll.BatchTransform(shifted), acc)
    torch.testing.assert_close(seen[0] - given, (seen[0] - given)[:1, :1].expand(22, 4))
    assert not torch.equal(seen[0], given)
    train = torch.from_numpy(acc.collect("train")["x"].copy())
    assert torch.equal(train.sort(dim=0).values, given.sort(dim=0).values)


def test_evaluating_does_not_change_what_it_draws() -> None:
    parts = tiny()
    loops = parts.loops_acc()
    evaluated = parts.trained(
        ll.BatchTransform(shifted), loops, ll.AccumulatorMetrics(loops, accuracy)
    )
    assert evaluated == tiny().trained(ll.BatchTransform(shifted))
