from __future__ import annotations

import sys
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legoloop.app.config.nodes import NodeError, build, nodes, plan
from legoloop.core.errors import ArgumentError

HERE = __name__


class Brick:
    """Takes two parts, a value, and one with a default."""

    def __init__(self, model: Any, counter: Any, size: int, rate: float = 0.5) -> None:
        self.given = (model, counter, size, rate)


class Refuses:
    def __init__(self, size: int) -> None:
        raise ArgumentError(f"size is {size}; give another")


class Raises:
    def __init__(self, error: type[Exception] = ValueError) -> None:
        raise error("no")


def anything(**given: Any) -> dict[str, Any]:
    return given


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bricks above under the name ``bricks``."""
    monkeypatch.setitem(sys.modules, "bricks", sys.modules[HERE])


SCOPE = ("model", "counter", "optimizer")
PARTS = {name: partial(str, name) for name in SCOPE}
NODE = {"_target_": "bricks.Brick", "size": 3}


def refused(node: dict[str, Any]) -> str:
    with pytest.raises(NodeError) as error:
        plan("plugins.mine", node, SCOPE)
    return str(error.value)


def test_required_parameters_are_asked_of_the_scope_others_left_alone() -> None:
    planned = plan("plugins.mine", NODE, SCOPE)
    assert planned.parts == {"model": "model", "counter": "counter"}
    assert planned.values == {"size": 3}


def test_inject_renames_and_gives_what_has_a_default() -> None:
    node = {**NODE, "_inject_": {"model": "optimizer", "rate": "counter"}}
    parts = plan("plugins.mine", node, SCOPE).parts
    assert parts == {"model": "optimizer", "rate": "counter", "counter": "counter"}


def test_a_value_in_the_node_wins_over_the_scope() -> None:
    planned = plan("plugins.mine", {**NODE, "model": "own"}, SCOPE)
    assert planned.parts == {"counter": "counter"}


def test_a_partial_gets_only_what_inject_names() -> None:
    node = {**NODE, "_partial_": True, "_inject_": {"model": "optimizer"}}
    assert plan("plugins.mine", node, SCOPE).parts == {"model": "optimizer"}
    made = build("plugins.mine", node, PARTS)
    assert made(counter="c").given == ("optimizer", "c", 3, 0.5)


def test_a_partial_of_nothing_is_the_target_itself() -> None:
    assert build("x", {"_target_": "bricks.anything", "_partial_": True}, {}) is anything


def test_positional_arguments_take_the_place_of_parameters() -> None:
    node = {"_target_": "bricks.Brick", "_args_": ["m", "c"], "size": 3}
    assert plan("plugins.mine", node, SCOPE).parts == {}
    assert build("plugins.mine", node, PARTS).given == ("m", "c", 3, 0.5)


def test_nodes_inside_are_built_first_wherever_they_are() -> None:
    inner = {"_target_": "bricks.anything", "x": 1}
    node = {"_target_": "bricks.anything", "one": inner, "some": [inner], "by": {"name": inner}}
    assert build("x", node, {}) == {"one": {"x": 1}, "some": [{"x": 1}], "by": {"name": {"x": 1}}}
    assert [path for path, _ in nodes("x", node)] == ["x", "x.one", "x.some.0", "x.by.name"]


def test_what_takes_any_keyword_is_given_any_key() -> None:
    assert plan("x", {"_target_": "bricks.anything", "whatever": 1}, ()).values == {"whatever": 1}


def test_wrong_nodes_are_refused_with_the_key_that_is_wrong() -> None:
    assert refused({**NODE, "sise": 3}) == (
        "plugins.mine.sise: bricks.Brick takes no 'sise'; did you mean size?"
    )
    assert refused({**NODE, "size": "big"}) == (
        "plugins.mine.size: is 'big', a text; bricks.Brick takes int"
    )
    assert refused({"_target_": "bricks.Brick"}) == (
        "plugins.mine.size: bricks.Brick needs 'size', which has no value here and no provider of "
        "that name; set plugins.mine.size=…, or inject one of the providers: there are model, "
        "counter, optimizer"
    )
    assert refused({**NODE, "_inject_": {"rate": "optimiser"}}) == (
        "plugins.mine._inject_.rate: there is no provider 'optimiser'; did you mean optimizer?"
    )
    assert refused({**NODE, "_inject_": {"rat": "counter"}}) == (
        "plugins.mine._inject_.rat: bricks.Brick takes no 'rat'; did you mean rate?"
    )
    assert refused({"_target_": "bricks.Brik"}) == (
        f"plugins.mine._target_: {HERE} has no 'Brik'; did you mean Brick?"
    )


def test_what_the_target_refuses_is_told_with_the_key() -> None:
    with pytest.raises(NodeError, match=r"^a\.b\.size: is 3; give another$"):
        build("a.b", {"_target_": "bricks.Refuses", "size": 3}, {})
    with pytest.raises(NodeError, match=r"^a\.b: bricks\.Raises refuses it: no$"):
        build("a.b", {"_target_": "bricks.Raises"}, {})


def test_other_errors_of_a_target_are_bugs() -> None:
    node = {"_target_": "bricks.Raises", "_inject_": {"error": "e"}}
    with pytest.raises(KeyError):
        build("a", node, {"e": lambda: KeyError})


names = st.sampled_from(["model", "counter", "size", "rate"])


@given(scope=st.sets(names), given=st.sets(names))
def test_every_required_parameter_comes_from_one_place_or_is_refused(
    scope: set[str], given: set[str]
) -> None:
    values = dict.fromkeys(given, 1)
    required = {"model", "counter", "size"}
    node = {"_target_": "bricks.Brick", **values}
    if required - given - scope:
        with pytest.raises(NodeError, match=r"^x\.(model|counter|size): "):
            plan("x", node, scope)
        return
    planned = plan("x", node, scope)
    assert planned.parts.keys() | planned.values.keys() == required | given
    assert not planned.parts.keys() & planned.values.keys()
