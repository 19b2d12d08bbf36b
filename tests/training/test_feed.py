from __future__ import annotations

import torch
from torch import nn

import legoloop as ll


class Keys(nn.Module):
    def forward(self, batch: dict[str, object]) -> dict[str, object]:
        return {"seen": dict(batch)}


def test_moves_tensors_and_leaves_everything_else() -> None:
    batch = {"x": torch.ones(2), "idx": ["a", "b"]}

    moved, outputs = ll.Feed(Keys(), "meta")(batch)

    assert moved["x"].device.type == "meta"
    assert moved["idx"] is batch["idx"]
    assert outputs["seen"] == moved
    assert batch["x"].device.type == "cpu"


def test_moves_the_model_in_place_so_that_an_optimizer_made_before_keeps_its_parameters() -> None:
    model = nn.Linear(1, 1)
    opt = torch.optim.SGD(model.parameters(), lr=1.0)

    ll.Feed(model, torch.device("cpu"))

    assert opt.param_groups[0]["params"][0] is model.weight


def test_a_tensor_on_the_device_already_is_not_copied() -> None:
    x = torch.ones(2)

    moved, _ = ll.Feed(Keys(), "cpu")({"x": x})

    assert moved["x"] is x
