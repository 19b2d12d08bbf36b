from __future__ import annotations

import pickle
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legoloop.app.config.binding import bind, bind_nested, calls_in
from legoloop.app.config.targets import resolve
from legoloop.core.errors import ConfigError

HERE = __name__


class Brick:
    """Takes two parts, a value, and one with a default."""

    def __init__(self, model: Any, counter: Any, size: int, rate: float = 0.5) -> None:
        self.given = (model, counter, size, rate)


def anything(**given: Any) -> dict[str, Any]:
    return given


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bricks above under the name ``bricks``."""
    monkeypatch.setitem(sys.modules, "bricks", sys.modules[HERE])


SCOPE = ("model", "counter", "optimizer")
NODE = {"_target_": "bricks.Brick", "size": 3}


def refused(node: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as error:
        bind("plugins.mine", node, SCOPE)
    return str(error.value)


def test_required_parameters_are_asked_of_the_scope_others_left_alone() -> None:
    bound = bind("plugins.mine", NODE, SCOPE)
    assert bound.dependencies == {"model": "model", "counter": "counter"}
    assert bound.values == {"size": 3}


def test_inject_renames_and_gives_what_has_a_default() -> None:
    node = {**NODE, "_inject_": {"model": "optimizer", "rate": "counter"}}
    parts = bind("plugins.mine", node, SCOPE).dependencies
    assert parts == {"model": "optimizer", "rate": "counter", "counter": "counter"}


def test_a_value_in_the_node_wins_over_the_scope() -> None:
    bound = bind("plugins.mine", {**NODE, "model": "own"}, SCOPE)
    assert bound.dependencies == {"counter": "counter"}


def test_a_partial_gets_only_what_inject_names() -> None:
    node = {**NODE, "_partial_": True, "_inject_": {"model": "optimizer"}}
    assert bind("plugins.mine", node, SCOPE).dependencies == {"model": "optimizer"}


def test_positional_arguments_take_the_place_of_parameters() -> None:
    node = {"_target_": "bricks.Brick", "_args_": ["m", "c"], "size": 3}
    assert bind("plugins.mine", node, SCOPE).dependencies == {}


def test_nodes_inside_are_bound_wherever_they_are() -> None:
    inner = {"_target_": "bricks.anything", "x": 1}
    node = {"_target_": "bricks.anything", "one": inner, "some": [inner], "by": {"name": inner}}
    bound = bind("x", node, ())
    assert [call.path for call in bound.calls()] == ["x", "x.one", "x.some.0", "x.by.name"]
    assert {call.values["x"] for call in bound.calls() if call.path != "x"} == {1}


def test_calls_are_found_in_any_value_the_outer_ones_first() -> None:
    inner = {"_target_": "bricks.anything"}
    value = {"a": [{"_target_": "bricks.anything", "y": inner}], "b": 1, "c": "text"}
    bound = bind_nested("z", value, ())
    assert [call.path for call in calls_in(bound)] == ["z.a.0", "z.a.0.y"]
    assert (bound["b"], bound["c"]) == (1, "text")
    assert list(calls_in(value)) == []


def test_a_bound_call_is_plain_data() -> None:
    bound = bind("plugins.mine", {**NODE, "_inject_": {"rate": "counter"}}, SCOPE)
    assert pickle.loads(pickle.dumps(bound)) == bound
    assert bound.function is resolve("bricks.Brick")


def test_what_takes_any_keyword_is_given_any_key() -> None:
    assert bind("x", {"_target_": "bricks.anything", "whatever": 1}, ()).values == {"whatever": 1}


def test_wrong_nodes_are_refused_with_the_key_that_is_wrong() -> None:
    assert refused({**NODE, "sise": 3}) == (
        "plugins.mine.sise: bricks.Brick takes no 'sise'; did you mean size?"
    )
    assert refused({**NODE, "size": "big"}) == (
        "plugins.mine.size: is 'big', a text; bricks.Brick takes int"
    )
    assert refused({**NODE, "size": "???"}) == (
        "plugins.mine.size: has no value, which the option leaves to you; give one: "
        "plugins.mine.size=…"
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


names = st.sampled_from(["model", "counter", "size", "rate"])


@given(scope=st.sets(names), given=st.sets(names))
def test_every_required_parameter_comes_from_one_place_or_is_refused(
    scope: set[str], given: set[str]
) -> None:
    values = dict.fromkeys(given, 1)
    required = {"model", "counter", "size"}
    node = {"_target_": "bricks.Brick", **values}
    if required - given - scope:
        with pytest.raises(ConfigError, match=r"^x\.(model|counter|size): "):
            bind("x", node, scope)
        return
    bound = bind("x", node, scope)
    assert bound.dependencies.keys() | bound.values.keys() == required | given
    assert not bound.dependencies.keys() & bound.values.keys()


@pytest.mark.parametrize(
    ("special", "message"),
    [
        ({"_args_": 3}, "model._args_: is 3; give a list of values"),
        ({"_args_": {"a": 1}}, "model._args_: is {'a': 1}; give a list of values"),
        ({"_partial_": "maybe"}, "model._partial_: is 'maybe'; give true or false"),
        ({"_inject_": 3}, "model._inject_: is 3; give the names of providers by parameter"),
        (
            {"_inject_": {"x": None}},
            "model._inject_.x: is None; give the name of a provider, or write ~model._inject_.x",
        ),
        (
            {"_inject_": {"x": ["a"]}},
            "model._inject_.x: is ['a']; give the name of a provider, or write ~model._inject_.x",
        ),
    ],
)
def test_special_keys_of_the_wrong_type_are_refused(special: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        bind("model", {"_target_": "builtins.dict", **special}, ())
    assert str(refused.value) == message


def test_a_mapping_with_a_node_in_it_is_still_a_mapping() -> None:
    node = {"_target_": "legoloop.Counter"}
    path = {"_target_": "legoloop.Checkpointer", "folder": {"inner": node}}
    with pytest.raises(
        ConfigError, match=r"^plugins\.checkpoints\.folder: is {'inner': .*, a mapp"
    ):
        bind("plugins.checkpoints", path, ["saver"])
    bound = bind("mine", {"_target_": "builtins.dict", "mapping": {"inner": node}}, ())
    assert [call.target for call in bound.calls()] == ["builtins.dict", "legoloop.Counter"]
