from __future__ import annotations

from inspect import signature
from typing import Any

import pytest
import torch
from torch import nn

import legoloop as ll
from legoloop.app.config.settings import RunSettings


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


class Convolving(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"y": self.layer(batch["x"])}


@pytest.mark.parametrize("channels_last", [True, False, "auto"])
def test_convolutions_may_have_their_channels_side_by_side(channels_last: Any) -> None:
    torch.manual_seed(0)
    model, x = Convolving(), torch.randn(2, 3, 8, 8)
    plain = model({"x": x})["y"]
    weights = {name: value.clone() for name, value in model.state_dict().items()}

    feed = ll.Feed(model, "cpu", channels_last=channels_last)
    _, outputs = feed({"x": x})

    side_by_side = outputs["y"].is_contiguous(memory_format=torch.channels_last)
    assert side_by_side == bool(channels_last) == feed.channels_last
    torch.testing.assert_close(outputs["y"], plain)
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())


def test_auto_leaves_a_model_without_convolutions_alone() -> None:
    assert not ll.Feed(nn.Linear(2, 2), "cpu", channels_last="auto").channels_last


def test_code_and_configuration_have_the_same_layout() -> None:
    default = signature(ll.Feed).parameters["channels_last"].default
    assert default == "auto" == RunSettings.__dataclass_fields__["channels_last"].default
    assert ll.Feed(Convolving(), "cpu").channels_last


@pytest.mark.parametrize("channels_last", [True, "auto"])
def test_weights_of_another_number_of_dimensions_stay_as_they_are(channels_last: Any) -> None:
    model = nn.ModuleList([nn.Conv2d(2, 3, 3), nn.Conv3d(2, 3, 3), nn.Conv1d(2, 3, 3)])
    model.register_buffer("position", torch.rand(1, 2, 5, 5))

    ll.Feed(model, "cpu", channels_last=channels_last)

    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert model.position.is_contiguous(memory_format=torch.channels_last)
    assert model[1].weight.is_contiguous()
    assert model[2].weight.is_contiguous()


def test_lazy_convolutions_are_left_to_the_descent_to_refuse() -> None:
    model = nn.Sequential(nn.LazyConv2d(2, 3))
    opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)])

    feed = ll.Feed(model, "cpu")

    with pytest.raises(ll.ArgumentError, match="the weights of '0', a LazyConv2d,"):
        ll.GradientDescent(opt, model, feed, lambda batch, outputs: 0)


def test_another_layout_is_refused() -> None:
    with pytest.raises(ll.ArgumentError, match="channels_last is 'yes'; give true, false or auto"):
        ll.Feed(nn.Linear(2, 2), "cpu", channels_last="yes")


class Returns(nn.Module):
    def __init__(self, returned: Any) -> None:
        super().__init__()
        self.returned = returned

    def forward(self, batch: dict[str, Any]) -> Any:
        return self.returned


@pytest.mark.parametrize("precision", ["fp32", "amp_bf16"])
@pytest.mark.parametrize("returned", [torch.ones(2), (torch.ones(2),), None], ids=str)
def test_a_model_that_returns_no_dict_is_told_in_a_line(precision: Any, returned: Any) -> None:
    kind = type(returned).__name__
    with pytest.raises(ll.DataError, match=f"the model, a Returns, returned a {kind}; return a d"):
        ll.Feed(Returns(returned), "cpu", precision)({"x": torch.ones(2)})


def test_nested_outputs_are_converted_to_float32_too() -> None:
    coarse = torch.ones(2, dtype=torch.bfloat16)
    outputs = {"heads": {"a": coarse, "b": [coarse, (coarse,)]}, "n": 3}
    _, converted = ll.Feed(Returns(outputs), "cpu", "amp_bf16")({"x": torch.ones(2)})
    heads = converted["heads"]
    found = [heads["a"], heads["b"][0], heads["b"][1][0]]
    assert [tensor.dtype for tensor in found] == [torch.float32] * 3
    assert converted["n"] == 3


def test_nested_columns_move_too() -> None:
    batch = {"views": (torch.ones(2), [torch.ones(2)]), "of": {"x": torch.ones(2)}}
    moved = ll.Feed(Keys(), "meta").moved(batch)
    found = [moved["views"][0], moved["views"][1][0], moved["of"]["x"]]
    assert {tensor.device.type for tensor in found} == {"meta"}
