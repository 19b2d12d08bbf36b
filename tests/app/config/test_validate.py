from __future__ import annotations

from typing import Any

import pytest

from legoloop.app.config.binding import BoundCall, bind, bind_nested
from legoloop.app.config.validate import (
    asked_for,
    check_chosen_are_used,
    check_circles,
    check_key_types,
    check_keys,
    check_loaders,
    check_names,
    check_numbers,
    check_required,
    check_settings_are_read,
    check_train,
    needs_of,
)
from legoloop.core.errors import ConfigError

NODE = {"_target_": "builtins.dict"}
DATA = {"datasets": {"train": NODE}}
PLUGINS = {"counter": NODE}


def message(refused: pytest.ExceptionInfo[ConfigError]) -> str:
    return str(refused.value)


def keys_refused(tree: dict[str, Any], unresolved: dict[str, Any] | None = None) -> str:
    with pytest.raises(ConfigError) as refused:
        check_keys(tree, tree if unresolved is None else unresolved)
    return message(refused)


def test_known_keys_and_those_that_are_referred_to_may_be_there() -> None:
    check_keys({}, {})
    check_keys({"seed": 0, "model": NODE, "data": DATA, "sweep": {"on_failure": "stop"}}, {})
    tree = {"width": 8, "mine": {"deep": {"er": 1}}, "data": {"size": 3}}
    refers = {**tree, "model": {"hidden": ["${width}", "x${mine.deep.er}${data.size}"]}}
    check_keys(tree, refers)


@pytest.mark.parametrize(
    ("tree", "key"),
    [
        ({"optimizer": {"_target_": "x", True: 1}}, "optimizer.True"),
        ({"plugins": {1: NODE}}, "plugins.1"),
        ({"data": {"datasets": {None: NODE}}}, "data.datasets.None"),
        ({"model": {**NODE, "inner": {"a": {**NODE, 2: 3}}}}, "model.inner.a.2"),
    ],
)
def test_a_key_that_is_no_text_is_refused(tree: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_key_types(tree)
    name = key.rpartition(".")[2]
    assert message(refused).startswith(f"{key}: is a key of type ")
    assert message(refused).endswith(f"; quote '{name}'")


def test_the_value_of_a_node_may_have_any_keys() -> None:
    check_key_types({"loss": {**NODE, "class_weights": {0: 1.0, 1: {2: 3}}}})


@pytest.mark.parametrize("value", [-(10**308), [10**307], {"a": [1.0, 3]}, "9" * 400, True])
def test_numbers_that_a_float_can_hold(value: Any) -> None:
    check_numbers({"lr": value, "other": 10**400}, ["lr", "nope"])


@pytest.mark.parametrize("value", [10**400, -(10**400), [1, 10**400], {"a": {"b": [10**400]}}])
def test_a_number_that_no_float_can_hold_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        check_numbers({"optimizer": {"lr": value}}, ["optimizer.lr"])
    assert message(refused) == "optimizer.lr: has a number of more than 308 digits"


def test_a_key_that_nothing_reads_is_refused_with_the_nearest() -> None:
    assert keys_refused({"num_epoch": 3}) == (
        "num_epoch: nothing takes this key; did you mean num_epochs?"
    )
    assert keys_refused({"data": {"predict_datset": "val"}}) == (
        "data.predict_datset: nothing takes this key; did you mean predict_dataset?"
    )
    assert keys_refused({"sweep": {"on_failuer": "stop"}}) == (
        "sweep.on_failuer: nothing takes this key; did you mean on_failure?"
    )
    assert keys_refused({3: 1}).startswith("3: nothing takes this key; there are seed, ")


def test_a_reference_to_what_lies_beside_does_not_count() -> None:
    tree = {"width": 8}
    refers = {"model": {"hidden": "${widths}", "x": "${oc.env:width}", "y": "${.width}"}}
    assert keys_refused(tree, refers).startswith("width: nothing takes this key; ")


@pytest.mark.parametrize(
    ("tree", "told"),
    [
        ({}, "data: is empty; choose an option with data=…"),
        ({"data": {}, "plugins": PLUGINS}, "data: is empty; choose an option with data=…"),
        ({"data": DATA}, "plugins: is empty; choose an option with plugins=…"),
        ({"data": DATA, "plugins": {}}, "plugins: is empty; choose an option with plugins=…"),
        (
            {"data": {**DATA, "predict_dataset": "trani"}, "plugins": PLUGINS},
            "data.predict_dataset: there is no data set 'trani'; did you mean train?",
        ),
    ],
)
def test_what_every_run_needs(tree: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_required(tree)
    assert message(refused).startswith(told)


@pytest.mark.parametrize(
    ("datasets", "told"),
    [
        ({"trian": NODE}, "data.datasets: there is no data set 'train'; did you mean trian?"),
        (
            None,
            "data.datasets: there is no data set 'train'; choose an option with data=…, or give "
            "plugins.epoch.train_iterator a stream",
        ),
    ],
)
@pytest.mark.parametrize(
    "asking",
    [
        {"_target_": "legoloop.SimpleEpoch"},
        {"_target_": "torch.nn.Linear", "in_features": 1, "_inject_": {"out_features": "task"}},
    ],
)
def test_only_who_needs_the_train_data_set_asks_for_one(
    datasets: Any, told: str, asking: dict[str, Any]
) -> None:
    def check(data: dict[str, Any], *nodes: dict[str, Any]) -> None:
        used = [bind("x", node, ["train_iterator", "task"]) for node in nodes]
        check_train({"data": data}, used, ["task"])

    own_stream = {"_target_": "legoloop.SimpleEpoch", "train_iterator": NODE}
    can_do_without = {"_target_": "legoloop.Progress", "_inject_": {"stream": "train_iterator"}}
    can_do_without |= {"counter": NODE, "sources": []}
    without = {"datasets": datasets}
    check(without, own_stream, can_do_without)
    check(DATA, asking)
    with pytest.raises(ConfigError) as refused:
        check(without, own_stream, {"_target_": "builtins.list", "_args_": [asking]})
    assert message(refused) == told


def test_a_run_that_predicts_nothing_needs_no_data_set_for_it() -> None:
    check_required({"data": {**DATA, "predict_dataset": None}, "plugins": PLUGINS})
    check_required({"data": {**DATA, "predict_dataset": "train"}, "plugins": PLUGINS})


@pytest.mark.parametrize(
    ("loaders", "told"),
    [
        (5, "data.loaders: is 5; give settings by name"),
        ({"default": 5}, "data.loaders.default: is 5; give settings by name"),
        ({"vla": {}}, "data.loaders.vla: is not a data set; there are train"),
        (
            {"default": {"bacth_size": 3}},
            "data.loaders.default.bacth_size: is not a setting; did you mean batch_size?",
        ),
        (
            {"train": {"batch_size": 0}},
            "data.loaders.train.batch_size: is 0; give a whole number of at least 1",
        ),
        (
            {"default": {"num_workers": -1}},
            "data.loaders.default.num_workers: is -1; give a whole number of at least 0",
        ),
        (
            {"default": {"collate": "mine.stack"}},
            "data.loaders.default.collate: is 'mine.stack'; give a function, or its _target_",
        ),
    ],
)
def test_wrong_settings_of_loaders_are_told_by_their_keys(loaders: Any, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_loaders({**DATA, "loaders": loaders}, loaders)
    assert message(refused) == told


def test_a_node_stands_for_the_function_that_it_will_make() -> None:
    loaders = {"default": {"collate": {"_target_": "legoloop.PadCollate", "_partial_": True}}}
    check_loaders({**DATA, "loaders": loaders}, bind_nested("data.loaders", loaders, ()))


def names_refused(*paths: tuple[str, str]) -> str:
    with pytest.raises(ConfigError) as refused:
        check_names(paths, ["task"])
    return message(refused)


def test_names_are_taken_once() -> None:
    check_names([("model", "model"), ("a", "plugins.a"), ("b", "loggers.b")], [])
    assert names_refused(("a", "plugins.a"), ("a", "loggers.a")) == (
        "loggers.a: the name is taken by plugins.a already; choose another"
    )


@pytest.mark.parametrize(
    "name", ["data", "datasets", "loaders", "params", "device", "sources", "task", "optimizer"]
)
def test_names_that_the_container_needs_are_its_own(name: str) -> None:
    assert names_refused((name, f"plugins.{name}")) == (
        f"plugins.{name}: the name '{name}' is taken; choose another"
    )


SCOPE = ("a", "b", "c", "model", "feed", "params", "datasets", "train_iterator", "sources", "task")


def needs(**injected: dict[str, str]) -> dict[str, set[str]]:
    """What plugins of these names need, given what is injected into each."""
    calls = {
        name: bind(f"plugins.{name}", {**NODE, "_inject_": given}, SCOPE)
        for name, given in injected.items()
    }
    return needs_of(calls, [], {"sources": ["a", "b"]}, ["task"])


def test_who_needs_whom() -> None:
    found = needs(a={"x": "b"}, b={"x": "params", "y": "train_iterator"}, c={"x": "sources"})
    assert (found["a"], found["b"], found["c"]) == (
        *({"b"}, {"params", "train_iterator"}, {"sources"}),
    )
    assert found["sources"] == {"a", "b"}
    assert found["params"] == {"model", "feed", "parallel"}
    assert found["train_iterator"] == found["task"] == {"datasets"}
    assert found["datasets"] == set()


def test_what_a_data_set_needs_all_data_need() -> None:
    bound = bind("data.datasets.train", {**NODE, "_inject_": {"x": "model"}}, SCOPE)
    found = needs_of({}, [bound], {}, [])
    assert found["datasets"] == {"model"}


def components(*names: str) -> dict[str, BoundCall]:
    return {name: BoundCall(f"plugins.{name}", "builtins.dict", {}, {}) for name in names}


def circle(*names: str, **needs: set[str]) -> str:
    with pytest.raises(ConfigError) as refused:
        check_circles(needs, components(*names))
    return message(refused)


def test_circles_are_told_from_a_component_that_has_a_path() -> None:
    check_circles({"a": {"b"}, "b": {"c"}}, {})
    remedy = "; inject another component into one of them with _inject_"
    assert circle(*"abc", a={"a"}) == f"plugins.a: cannot be built: a needs a{remedy}"
    assert circle(*"abc", sources={"a"}, a={"sources"}) == (
        f"plugins.a: cannot be built: a needs sources needs a{remedy}"
    )
    told = circle(*"abc", a={"b"}, b={"c"}, c={"a"})
    assert told.count(" needs ") == 3
    assert any(f"{x} needs {y}" in told for x, y in ("ab", "bc", "ca"))


def test_what_is_asked_for_through_others_is_asked_for() -> None:
    needs = {"a": {"sources"}, "sources": {"model"}, "model": {"task"}, "b": {"loss"}}
    assert asked_for(needs, ["a"]) == {"a", "sources", "model", "task"}
    assert asked_for(needs, []) == set()


def test_what_was_chosen_must_be_used() -> None:
    unused = {"loss": NODE, "components.second": NODE, "scheduler": {"gamma": 0.5}}
    check_chosen_are_used(unused, ["model", "plugins.a", "losses.x", "seed"])
    for key, path in (("loss", "loss"), ("components.second.lr", "components.second")):
        with pytest.raises(ConfigError) as refused:
            check_chosen_are_used(unused, [key])
        assert message(refused) == f"{path}: is chosen, but no plugin and no logger uses it"
    with pytest.raises(ConfigError, match=r"^scheduler: is .*; a component is a mapping with a"):
        check_chosen_are_used(unused, ["scheduler.gamma"])


def test_a_setting_of_the_command_line_that_nothing_refers_to_is_refused() -> None:
    tree = {"num_epochs": 3, "data": {"root": "${root}"}, "plugins": {"last": "${num_epochs}"}}
    check_settings_are_read(tree, {"num_epochs": "command line", "seed": "command line"})
    check_settings_are_read(tree, {"eval_samples": "conf/mine.yaml"})
    for key in ("eval_samples", "data.root"):
        with pytest.raises(ConfigError) as refused:
            check_settings_are_read(tree, {key: "command line"})
        assert message(refused) == (
            f"{key}: has no effect here: no component refers to it; leave it out"
        )
