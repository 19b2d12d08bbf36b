"""What is made of bound calls, and whose fault it is if it cannot be made."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import pytest
import torch

from legoloop.app.config.binding import bind, bind_nested
from legoloop.app.wiring.build import build, build_nested
from legoloop.core.errors import ArgumentError, ConfigError, DataError

HERE = __name__


class Brick:
    """Takes two parts, a value, and one with a default."""

    def __init__(self, model: Any, counter: Any, size: int, rate: float = 0.5) -> None:
        self.given = (model, counter, size, rate)


class Refuses:
    def __init__(self, size: int = 3) -> None:
        raise ArgumentError(f"is {size}", argument="size", remedy="give another")


class RefusesAnEntry:
    def __init__(self, hidden: list[int]) -> None:
        raise ArgumentError("is 0", argument="hidden[0]", remedy="give another")


class Raises:
    def __init__(self, error: Any = ValueError) -> None:
        raise error("no")


class Derived(Raises):
    def __init__(self, error: str) -> None:
        super().__init__(lambda _: ValueError(error))


class Fails:
    def __init__(self) -> None:
        self.fail()

    def fail(self) -> None:
        raise ValueError("a bug")


def anything(*args: Any, **given: Any) -> Any:
    return (*args, given) if args else given


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bricks above under the name ``bricks``."""
    monkeypatch.setitem(sys.modules, "bricks", sys.modules[HERE])


SCOPE = {name: partial(str, name) for name in ("model", "counter", "optimizer")}
NODE = {"_target_": "bricks.Brick", "size": 3}


def made(node: dict[str, Any], path: str = "plugins.mine") -> Any:
    return build(bind(path, node, SCOPE), SCOPE)


def test_dependencies_come_from_the_scope_values_from_the_node() -> None:
    assert made(NODE).given == ("model", "counter", 3, 0.5)
    renamed = {**NODE, "_inject_": {"model": "optimizer", "rate": "counter"}}
    assert made(renamed).given == ("optimizer", "counter", 3, "counter")
    assert made({**NODE, "model": "own"}).given == ("own", "counter", 3, 0.5)


def test_arguments_by_position_come_first() -> None:
    assert made({"_target_": "bricks.Brick", "_args_": ["m", "c"], "size": 3}).given == (
        *("m", "c", 3, 0.5),
    )


def test_a_partial_is_called_later() -> None:
    node = {**NODE, "_partial_": True, "_inject_": {"model": "optimizer"}}
    assert made(node)(counter="c").given == ("optimizer", "c", 3, 0.5)


def test_a_partial_of_nothing_is_the_target_itself() -> None:
    assert made({"_target_": "bricks.anything", "_partial_": True}) is anything


def test_nodes_inside_are_built_first_wherever_they_are() -> None:
    inner = {"_target_": "bricks.anything", "x": 1}
    node = {"_target_": "bricks.anything", "one": inner, "some": [inner], "by": {"name": inner}}
    assert made(node) == {"one": {"x": 1}, "some": [{"x": 1}], "by": {"name": {"x": 1}}}
    assert made({"_target_": "bricks.anything", "_args_": [inner]}) == ({"x": 1}, {})


def test_each_build_makes_a_new_thing() -> None:
    bound = bind("x", {"_target_": "bricks.anything", "some": [1]}, ())
    first, second = build(bound, {}), build(bound, {})
    first["some"].append(2)
    assert second == {"some": [1]} == build(bound, {})


def test_what_holds_no_call_stays_as_it_is() -> None:
    value = {"a": [1, {"b": None}], "c": "text", 3: 4.0}
    assert build_nested(bind_nested("x", value, ()), {}) == value


def test_what_the_target_refuses_is_told_with_the_key() -> None:
    with pytest.raises(ConfigError, match=r"^a\.b\.size: is 3; give another$") as refused:
        made({"_target_": "bricks.Refuses", "size": 3}, "a.b")
    assert refused.value.key == "a.b.size"
    with pytest.raises(ConfigError, match=r"^a\.b: bricks\.Raises refuses it: no$") as refused:
        made({"_target_": "bricks.Raises"}, "a.b")
    assert refused.value.key == "a.b"


def test_an_argument_that_the_node_does_not_give_is_told_at_the_node() -> None:
    with pytest.raises(ConfigError, match=r"^a\.b: size is 3; give another$") as refused:
        made({"_target_": "bricks.Refuses"}, "a.b")
    assert refused.value.key == "a.b"


def test_an_entry_of_an_argument_is_told_with_the_key() -> None:
    node = {"_target_": "bricks.RefusesAnEntry", "hidden": [0]}
    with pytest.raises(ConfigError, match=r"^a\.hidden\[0\]: is 0; give another$"):
        made(node, "a")


def test_of_a_component_inside_the_path_is_told() -> None:
    node = {"_target_": "bricks.anything", "inner": {"_target_": "bricks.Refuses", "size": 3}}
    with pytest.raises(ConfigError, match=r"^a\.inner\.size: is 3; give another$"):
        made(node, "a")


@pytest.mark.parametrize("error", [KeyError, RuntimeError, OSError, DataError])
def test_other_errors_of_a_target_are_bugs(error: type[Exception]) -> None:
    node = {"_target_": "bricks.Raises", "_inject_": {"error": "e"}}
    scope = {"e": lambda: error}
    with pytest.raises(error) as raised:
        build(bind("a", node, scope), scope)
    assert type(raised.value) is error


def test_an_error_from_deeper_inside_the_target_is_a_bug() -> None:
    with pytest.raises(ValueError, match=r"^a bug$") as raised:
        made({"_target_": "bricks.Fails"})
    assert type(raised.value) is ValueError


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"_target_": "bricks.Derived", "error": "no"}, r"^a: bricks\.Derived refuses it: no$"),
        (
            {"_target_": "torch.optim.AdamW", "params": [torch.ones(1)], "lr": -1.0},
            r"^a: torch\.optim\.AdamW refuses it: Invalid learning rate: -1\.0$",
        ),
        (
            {"_target_": "torchmetrics.classification.MulticlassAUROC", "num_classes": 1},
            r"^a: torchmetrics\.classification\.MulticlassAUROC refuses it: Expected argument `nu",
        ),
    ],
)
def test_what_a_base_class_or_a_library_refuses_is_told(node: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made(node, "a")


def test_an_error_of_the_configuration_is_raised_as_it_is() -> None:
    error = ConfigError("is wrong", key="elsewhere")
    scope = {"e": lambda: lambda text: error}
    with pytest.raises(ConfigError) as raised:
        build(bind("a", {"_target_": "bricks.Raises", "_inject_": {"error": "e"}}, scope), scope)
    assert raised.value is error
