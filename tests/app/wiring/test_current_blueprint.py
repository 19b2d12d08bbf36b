from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from legoloop.app.config.blueprint import Blueprint
from legoloop.app.config.paths import Tree
from legoloop.app.wiring.current_blueprint import CurrentBlueprint
from legoloop.app.wiring.resolve import resolve_with
from legoloop.core.errors import ConfigError
from tests.app.composed import tree_of, with_value


def unresolved() -> Tree:
    """With references, one of them to another, and one inside a list."""
    tree = tree_of()
    tree["plugins"]["last"]["num_epochs"] = "${num_epochs}"
    tree["data"]["seed"] = "${seed}"
    tree["data"]["root"] = "${run_dir}/data"
    tree["optimizer"] = {
        "_target_": "torch.optim.Adam",
        "lr": 0.1,
        "betas": ["${optimizer.lr}", 0.9],
        "weight_decay": "${optimizer.betas[0]}",
    }
    return tree


def current() -> tuple[CurrentBlueprint, Callable[[str, Any], None]]:
    """A blueprint, and what sets a value behind its back."""
    tree, written = resolve_with(unresolved(), {})
    values = [deepcopy(tree)]

    def set_value(path: str, value: Any) -> None:
        values[0] = with_value(values[0], path, value)

    return CurrentBlueprint(
        Blueprint.of(tree, written), read=lambda: deepcopy(values[0])
    ), set_value


def test_without_a_change_it_is_the_one_that_was_composed() -> None:
    blueprint, _ = current()
    assert blueprint() is blueprint.composed
    assert blueprint() is blueprint.composed


def test_a_late_change_travels_through_references_of_references() -> None:
    blueprint, set_value = current()
    set_value("optimizer.lr", 0.2)
    assert blueprint().tree["optimizer"] == {
        **{"_target_": "torch.optim.Adam", "lr": 0.2, "betas": [0.2, 0.9], "weight_decay": 0.2},
    }
    assert blueprint().components["optimizer"].values["weight_decay"] == 0.2
    set_value("num_epochs", 7)
    assert blueprint().settings.num_epochs == 7
    assert blueprint().components["last"].values == {"num_epochs": 7}
    set_value("seed", 3)
    assert blueprint().data.seed == 3


def test_a_late_change_of_what_refers_cuts_it_off() -> None:
    blueprint, set_value = current()
    set_value("data.seed", 5)
    assert (blueprint().settings.seed, blueprint().data.seed) == (0, 5)
    set_value("seed", 2)
    assert (blueprint().settings.seed, blueprint().data.seed) == (2, 5)


def test_a_change_taken_back_leaves_it_as_it_was_composed() -> None:
    blueprint, set_value = current()
    before = blueprint()
    set_value("seed", 2)
    assert blueprint().data.seed == 2
    set_value("seed", 0)
    assert blueprint() == before


def test_a_key_that_was_not_there_may_be_set() -> None:
    blueprint, set_value = current()
    set_value("optimizer.eps", 1e-3)
    assert blueprint().components["optimizer"].values["eps"] == 1e-3


def test_lists_are_set_whole() -> None:
    blueprint, set_value = current()
    set_value("optimizer.betas", [0.5, 0.6])
    values = blueprint().components["optimizer"].values
    assert (values["betas"], values["weight_decay"]) == ([0.5, 0.6], 0.5)


def test_a_late_value_is_checked_like_all_others() -> None:
    for path, value, message in (
        ("num_epochs", -1, r"^num_epochs: is -1; give a whole number of at least 0$"),
        ("optimizer.lrr", 1, r"^optimizer\.lrr: torch\.optim\.Adam takes no 'lrr'; "),
        ("nope", 1, r"^nope: nothing takes this key; "),
        ("model._target_", "no_such.Nothing", r"^model\._target_: there is no module no_such"),
    ):
        blueprint, set_value = current()
        set_value(path, value)
        with pytest.raises(ConfigError, match=message):
            blueprint()
        with pytest.raises(ConfigError, match=message):
            blueprint()  # and as long as it stands


def test_components_come_and_go_when_composing() -> None:
    for path, value in (
        ("plugins.train_loss", {"_target_": "legoloop.TrainLoss"}),
        ("plugins.last", None),
    ):
        blueprint, set_value = current()
        set_value(path, value)
        with pytest.raises(ConfigError, match=r"^plugins: components cannot be added or removed"):
            blueprint()


def test_a_component_may_become_another() -> None:
    blueprint, set_value = current()
    set_value("optimizer._target_", "torch.optim.AdamW")
    assert blueprint().components["optimizer"].target == "torch.optim.AdamW"
    assert blueprint().components["counter"] is blueprint.composed.components["counter"]


def test_resolve_with_gives_both_trees() -> None:
    written = {"a": 1, "b": {"c": "${a}", "d": "x${b.c}"}, "e": ["${b.c}"]}
    resolved, now = resolve_with(written, {"a": 2, "b.f": "${e}"})
    assert resolved == {"a": 2, "b": {"c": 2, "d": "x2", "f": [2]}, "e": [2]}
    assert now == {"a": 2, "b": {"c": "${a}", "d": "x${b.c}", "f": "${e}"}, "e": ["${b.c}"]}
    assert written == {"a": 1, "b": {"c": "${a}", "d": "x${b.c}"}, "e": ["${b.c}"]}
    assert resolve_with(written, {})[1] == written
