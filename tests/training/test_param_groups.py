from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import legoloop as ll
from tests.tiny import Net, tiny

NO_DECAY = {"patterns": ["*bias*"], "types": ["*Norm*"], "weight_decay": 0.0}


class Transfer(nn.Module):
    """A backbone with a norm, and a head that shares no weights with it."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
        self.head = nn.Linear(4, 2)


def told(groups: list[dict[str, Any]], model: nn.Module) -> dict[str, dict[str, Any]]:
    """The settings by the name of the parameter."""
    names = {weight: name for name, weight in model.named_parameters()}
    return {
        names[weight]: {key: value for key, value in group.items() if key != "params"}
        for group in groups
        for weight in group["params"]
    }


def test_no_decay_on_norms_and_biases() -> None:
    model = Net()
    assert told(ll.param_groups(model, no_decay=NO_DECAY), model) == {
        "layers.0.weight": {},
        "layers.4.weight": {},
        "layers.0.bias": {"weight_decay": 0.0},
        "layers.1.weight": {"weight_decay": 0.0},
        "layers.1.bias": {"weight_decay": 0.0},
        "layers.4.bias": {"weight_decay": 0.0},
    }


def test_rules_that_fit_the_same_parameter_add_up() -> None:
    model = Transfer()
    groups = ll.param_groups(
        model, no_decay=NO_DECAY, backbone={"patterns": ["backbone.*"], "lr": 1e-5}, gone=None
    )
    assert len(groups) == 4
    assert told(groups, model) == {
        "backbone.0.weight": {"lr": 1e-5},
        "backbone.0.bias": {"lr": 1e-5, "weight_decay": 0.0},
        "backbone.1.weight": {"lr": 1e-5, "weight_decay": 0.0},
        "backbone.1.bias": {"lr": 1e-5, "weight_decay": 0.0},
        "head.weight": {},
        "head.bias": {"weight_decay": 0.0},
    }


@given(
    st.lists(
        st.sampled_from(["*", "*weight", "*bias", "backbone.*", "head.*", "*.1.*"]), min_size=1
    ),
    st.sampled_from([[], ["Linear"], ["*"]]),
)
def test_each_parameter_is_in_one_group(names: list[str], types: list[str]) -> None:
    model = Transfer()
    rules = {
        "first": {"patterns": names, "lr": 0.5},
        "second": {"patterns": ["*weight"], "types": types, "momentum": 0.9},
    }
    groups = ll.param_groups(model, **rules)
    found = [weight for group in groups for weight in group["params"]]
    assert len(found) == len(set(found))
    assert set(found) == set(model.parameters())
    torch.optim.SGD(groups, lr=0.1)  # which refuses a parameter that is there twice


def test_a_shared_parameter_is_fitted_by_any_of_its_names() -> None:
    model = Transfer()
    model.tied = nn.Linear(4, 2)
    model.tied.weight = model.head.weight
    groups = ll.param_groups(model, tied={"patterns": ["tied.weight"], "lr": 0.5})
    assert [group.get("lr") for group in groups] == [None, 0.5]
    assert groups[1]["params"] == [model.head.weight]


def test_trains_like_groups_written_by_hand() -> None:
    def trained(by_hand: bool) -> list[torch.Tensor]:
        parts = tiny()
        model: Any = parts.model
        rule: dict[str, Any] = {"patterns": ["layers.0.*"], "lr": 0.0}
        groups = ll.param_groups(model, first=rule)
        if by_hand:
            head = [*model.layers[1].parameters(), *model.layers[4].parameters()]
            groups = [{"params": [*model.layers[0].parameters()], "lr": 0.0}, {"params": head}]
        parts.opt = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1)
        parts.descent = ll.GradientDescent(parts.opt, model, parts.feed, parts.descent.loss)
        parts.trained()
        return list(model.parameters())

    by_name, expected, untrained = trained(False), trained(True), list(tiny().model.parameters())
    assert all(map(torch.equal, by_name, expected))
    assert [torch.equal(*pair) for pair in zip(by_name, untrained, strict=True)] == [
        *(True, True),
        *(False, False, False, False),
    ]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            {"patterns": ["bakbone.*"], "lr": 1},
            "rule matches no parameter; there are backbone.0.weight",
        ),
        ({"types": ["Conv*"], "lr": 1}, "rule matches no parameter; there are backbone.0.weight"),
        ({"lr": 1}, r"rule has no patterns; give patterns=\[…\], types=\[…\] or both"),
        ({"patterns": ["*"]}, "rule has no settings; give one, such as lr or weight_decay"),
        ({"patterns": "*", "lr": 1}, r"rule.patterns is '\*'; give a list of patterns"),
        (
            {"patterns": ["*"], "weigth_decay": 0},
            "rule.weigth_decay is read by no optimizer; did you mean weight_decay",
        ),
    ],
)
def test_refuses_a_rule_that_does_nothing(rule: Any, message: str) -> None:
    with pytest.raises(ll.ArgumentError, match=message):
        ll.param_groups(Transfer(), rule=rule)


def test_refuses_rules_that_disagree() -> None:
    one, other = (
        {"patterns": [names], "lr": lr} for names, lr in (("head.*", 0.1), ("*bias", 0.2))
    )
    with pytest.raises(
        ll.ArgumentError, match=r"other sets lr of 'head.bias' to 0.2, and another rule to 0.1"
    ):
        ll.param_groups(Transfer(), one=one, other=other)


def test_a_setting_of_an_optimizer_of_ones_own_is_taken() -> None:
    groups = ll.param_groups(Transfer(), head={"patterns": ["head.*"], "trust": 0.1})
    assert groups[1]["trust"] == 0.1


def test_the_parameters_of_a_loss_have_rules_and_a_name_too() -> None:
    model, loss = nn.Linear(2, 1), nn.Sequential(nn.PReLU(), nn.LayerNorm(2))
    loss[1].bias.requires_grad_(False)
    groups = ll.param_groups(
        model,
        loss,
        centres={"patterns": ["loss.0.*"], "lr": 0.5},
        norms={"types": ["*Norm*"], "lr": 2},
    )
    found = [(group.get("lr"), list(map(id, group["params"]))) for group in groups]
    assert found == [
        (None, [id(model.weight), id(model.bias)]),
        (0.5, [id(loss[0].weight)]),
        (2, [id(loss[1].weight)]),
    ]
    with pytest.raises(
        ll.ArgumentError, match=r"there are weight, bias, loss\.0\.weight, loss\.1\.w"
    ):
        ll.param_groups(model, loss, none={"patterns": ["loss.2.*"], "lr": 1})
