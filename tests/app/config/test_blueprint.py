"""The configuration of a run as a value: equal if it is equal, and whole in another process."""

from __future__ import annotations

import json
import pickle
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dependency_injector import containers, providers
from hypothesis import given
from hypothesis import strategies as st

import legoloop as ll
from legoloop.app.config import binding
from legoloop.app.config.blueprint import Blueprint, behaviour
from legoloop.app.config.paths import Tree, find_path
from legoloop.app.config.settings import LAUNCH_KEYS
from legoloop.app.wiring.make_app import validated_app
from legoloop.app.wiring.resolve import resolve_with
from legoloop.core.errors import ConfigError
from tests.app.composed import blueprint_of, choices, tree_of, with_value


def takes_anything(**given: Any) -> Any:
    return given


class Second:
    before = ("first",)

    def epoch_end(self) -> None: ...


class First:
    after = ("counter",)

    def epoch_end(self) -> None: ...


class Own(containers.DeclarativeContainer):
    config = providers.Configuration()
    config.from_dict({"num_epochs": 3})
    counter = providers.Singleton(ll.Counter)
    epoch = providers.Singleton(ll.SimpleEpoch, iter(()), config.epoch_size)
    last = providers.Singleton(ll.LastEpoch, counter, config.num_epochs)
    host = providers.Singleton(ll.TrainingHost, plugins=providers.List(counter, epoch, last))


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is defined above under the name ``bricks``."""
    monkeypatch.setitem(sys.modules, "bricks", sys.modules[__name__])


def with_plugin(node: Tree, name: str = "mine", **changes: Any) -> Tree:
    tree = tree_of(**changes)
    tree["plugins"][name] = node
    return tree


def refused(tree: Tree, **more: Any) -> str:
    with pytest.raises(ConfigError) as error:
        Blueprint.of(tree, **more)
    return str(error.value)


def again(blueprint: Blueprint) -> Blueprint:
    """The blueprint that its JSON describes."""
    return Blueprint.from_dict(json.loads(json.dumps(blueprint.to_dict())))


def test_a_tree_is_understood() -> None:
    blueprint = Blueprint.of(tree_of())
    assert (blueprint.settings.num_epochs, blueprint.settings.run_dir) == (2, "run")
    assert blueprint.data.model_kwargs == ["task", "num_outputs", "num_features", "input_key"]
    assert list(blueprint.datasets) == ["train", "val"]
    assert blueprint.loaders == {"default": {"batch_size": 32, "num_workers": 0}}
    assert list(blueprint.components) == [
        *("model", "loss", "optimizer", "feed", "counter", "descent", "epoch", "last"),
    ]
    assert blueprint.components["descent"].dependencies == {
        **{"opt": "optimizer", "model": "model", "feed": "feed", "loss": "loss"},
    }
    assert blueprint.lists["drivers"] == ("epoch",)
    assert (blueprint.unresolved, blueprint.origins, blueprint.overrides) == (tree_of(), {}, ())
    assert blueprint.plugin_class("counter") is ll.Counter
    assert sorted(blueprint.plugin_order) == ["counter", "descent", "epoch", "last"]


def test_the_tree_is_left_as_it_was() -> None:
    tree = tree_of()
    before = deepcopy(tree)
    Blueprint.of(tree)
    assert tree == before


def test_equal_trees_have_equal_blueprints() -> None:
    one, other = Blueprint.of(tree_of()), Blueprint.of(tree_of())
    assert one == other
    assert one.digest == other.digest
    changed = Blueprint.of(with_value(tree_of(), "optimizer.lr", 0.2))
    assert changed != one
    assert changed.digest != one.digest


def test_it_pickles_and_builds_in_another_process() -> None:
    blueprint = pickle.loads(pickle.dumps(blueprint_of("data=xor", "model=logistic", "loggers=[]")))
    assert blueprint == blueprint_of("data=xor", "model=logistic", "loggers=[]")


@pytest.mark.parametrize("key", [key for key in LAUNCH_KEYS if key not in ("sweep", "parallel")])
def test_how_a_run_is_launched_is_no_part_of_its_digest(key: str) -> None:
    values = {"show": "plan", "on_config_change": "accept", "ranks": 2, "nodes": 1}
    blueprint = Blueprint.of(tree_of(**{key: values.get(key, "elsewhere")}))
    assert blueprint.digest == Blueprint.of(tree_of()).digest
    assert not any(name.startswith(key) for name in blueprint.behaviour())


def test_the_digest_is_that_of_what_the_run_does() -> None:
    digest = Blueprint.of(tree_of()).digest
    assert Blueprint.of(tree_of(sweep={"on_failure": "stop"})).digest == digest
    assert Blueprint.of(tree_of(), overrides=["a=1"], origins={"seed": "x"}).digest == digest
    for changed in (tree_of(seed=1), tree_of(num_epochs=3), tree_of(device="cuda")):
        assert Blueprint.of(changed).digest != digest
    shuffled = dict(reversed(tree_of().items()))
    assert Blueprint.of(shuffled).digest == digest


@pytest.mark.parametrize("override", ["name=b", "tags=[b]", "notes=b", "profile=true"])
def test_what_only_observes_is_no_part_of_the_digest(override: str) -> None:
    given = ("loggers=[csv,mlflow]", "loggers.mlflow.run_name='${name}'", "name=a")
    one, other = blueprint_of(*given), blueprint_of(*given, override)
    assert one != other
    assert one.digest == other.digest
    assert not any("mlflow.run_name" in key for key in one.behaviour())


def test_a_name_follows_what_it_refers_to() -> None:
    blueprint = blueprint_of("name='lr-${optimizer.lr}'", "optimizer.lr=0.25", "tags=[a, b]")
    assert (blueprint.settings.name, blueprint.settings.tags) == ("lr-0.25", ["a", "b"])
    assert blueprint.behaviour()["optimizer.lr"] == 0.25


def test_types_are_part_of_the_digest() -> None:
    digests = {
        Blueprint.of(with_plugin({"_target_": "bricks.takes_anything", "x": value})).digest
        for value in (1, 1.0, True, "1", [1], {"a": 1}, {1: 1}, None)
    }
    assert len(digests) == 8


def test_behaviour_has_every_value_but_those_of_the_launch() -> None:
    launched = {"resume": "x", "sweep.on_failure": "stop", "name": "a", "tags": ["b"]}
    assert behaviour({"seed": 0, **launched, "resume_at": 1}) == {"seed": 0, "resume_at": 1}


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.one_of(
                st.text(max_size=4).filter(lambda text: not text.startswith("_")), st.integers()
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(["alpha", "beta", "gamma"])


@given(st.dictionaries(NAMES, VALUES), st.lists(st.text(max_size=5)), st.integers(0, 2**32 - 1))
def test_json_holds_every_blueprint(values: Tree, overrides: list[str], seed: int) -> None:
    tree = with_plugin({"_target_": "bricks.takes_anything", **values}, seed=seed)
    blueprint = Blueprint.of(tree, origins={"plugins.mine": "here"}, overrides=overrides)
    assert again(blueprint) == blueprint
    assert again(blueprint).digest == blueprint.digest
    found = again(blueprint).components["mine"].values
    assert repr(found) == repr(blueprint.components["mine"].values)


def test_json_holds_the_sweep_of_a_job() -> None:
    job = Blueprint.of(tree_of(), sweep="/sweeps/lr", varied=["optimizer.lr=0.1"])
    assert again(job) == job
    assert job.digest == Blueprint.of(tree_of()).digest


def test_what_varied_is_what_the_jobs_of_the_sweep_have_not_in_common() -> None:
    overrides = ["num_epochs=2", "optimizer.lr=1e-1", "model=logistic", "+data.root=null"]
    job = Blueprint.of(tree_of(), overrides=overrides, sweep="/sweeps/lr", varied=overrides[1:])
    assert job.variation.values == {"optimizer.lr": 0.1, "model": "logistic", "data.root": "null"}
    assert job.variation.sweep == Path("/sweeps/lr")
    assert job.variation.label == "lr=0.1,model=logistic,root=null"


def test_in_a_run_of_its_own_all_overrides_varied_but_those_that_change_no_bit() -> None:
    aside = ("resume=must", "profile=true", "loggers=[csv]", "loggers.csv.every_steps=1")
    blueprint = Blueprint.of(tree_of(), overrides=["num_epochs=2", *aside])
    assert blueprint.variation.values == {"num_epochs": 2}
    assert blueprint.variation.sweep is None


@given(VALUES, VALUES)
def test_like_another_it_is_what_it_is_without(before: Any, now: Any) -> None:
    one, other = (
        with_plugin({"_target_": "bricks.takes_anything", "value": value})
        for value in (before, now)
    )
    like = Blueprint.of(one)
    assert Blueprint.of(other, like=like) == Blueprint.of(other)
    assert Blueprint.of(one, like=like) == like


@pytest.mark.parametrize("choice", choices())
def test_what_ships_survives_json_and_likeness(choice: str) -> None:
    blueprint = blueprint_of(*choice.split())
    assert again(blueprint) == blueprint
    like = blueprint_of("data=digits", "optimizer.lr=0.5")
    assert replace(Blueprint.of(**given_to(blueprint), like=like)) == blueprint


def given_to(blueprint: Blueprint) -> dict[str, Any]:
    return {
        **{"tree": blueprint.tree, "unresolved": blueprint.unresolved},
        **{"origins": blueprint.origins, "overrides": blueprint.overrides},
    }


def test_like_another_only_what_changed_is_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    like = Blueprint.of(tree_of())
    bound: list[str] = []
    bind = binding.bind

    def counted(path: str, *given: Any) -> Any:
        bound.append(path)
        return bind(path, *given)

    monkeypatch.setattr(binding, "bind", counted)
    blueprint = Blueprint.of(with_value(tree_of(), "optimizer.lr", 0.2), like=like)
    assert bound == ["optimizer"]
    assert blueprint.components["model"] is like.components["model"]
    assert blueprint.datasets["train"] is like.datasets["train"]
    bound.clear()
    Blueprint.of(with_plugin({"_target_": "legoloop.TrainLoss"}), like=like)
    assert "model" in bound, "another scope may inject otherwise"


@pytest.mark.parametrize(("before", "now"), [(1, True), (1, 1.0), (False, 0)])
def test_equal_values_of_other_types_are_bound_anew(before: Any, now: Any) -> None:
    one, other = (
        with_plugin({"_target_": "bricks.takes_anything", "value": value})
        for value in (before, now)
    )
    blueprint = Blueprint.of(other, like=Blueprint.of(one))
    assert repr(blueprint.components["mine"].values["value"]) == repr(now)


def test_a_list_of_plugins_has_those_with_its_method_in_the_order_of_names() -> None:
    tree = with_plugin({"_target_": "legoloop.TrainLoss"}, "z")
    tree["plugins"]["a"] = {"_target_": "legoloop.LearningRateMonitor"}
    assert Blueprint.of(tree).lists["sources"] == ("a", "z")


def test_a_plugin_is_called_after_what_it_is_given() -> None:
    node = {"_target_": "bricks.takes_anything", "_inject_": {"x": "z_last"}}
    tree = with_plugin(node, "a_first")
    tree["plugins"]["z_last"] = {"_target_": "legoloop.Counter"}
    order = Blueprint.of(tree).plugin_order
    assert order.index("z_last") < order.index("a_first")


def test_a_plugin_is_called_after_all_of_a_list() -> None:
    node = {"_target_": "bricks.takes_anything", "_inject_": {"x": "sources"}}
    tree = with_plugin(node, "a_reader")
    tree["plugins"]["z_loss"] = {"_target_": "legoloop.TrainLoss"}
    order = Blueprint.of(tree).plugin_order
    assert order.index("z_loss") < order.index("a_reader")


def test_after_and_before_are_followed() -> None:
    tree = with_plugin({"_target_": "bricks.First"}, "first")
    tree["plugins"]["a_second"] = {"_target_": "bricks.Second"}
    order = Blueprint.of(tree).plugin_order
    assert max(order.index("counter"), order.index("a_second")) < order.index("first")


def test_what_is_injected_deep_inside_counts() -> None:
    inner = {"_target_": "bricks.takes_anything", "_inject_": {"x": "z_last"}}
    tree = with_plugin({"_target_": "bricks.takes_anything", "deep": [{"er": inner}]}, "a_first")
    tree["plugins"]["z_last"] = {"_target_": "legoloop.Counter"}
    assert "z_last" in {
        name
        for call in Blueprint.of(tree).components["a_first"].calls()
        for name in call.dependencies.values()
    }


REFUSED = [
    (tree_of(data=3), "data: is 3; give a mapping of names"),
    (tree_of(plugins=["counter"]), "plugins: is ['counter']; give a mapping of names"),
    (tree_of(model="mlp"), "model: is 'mlp'; give a mapping of names"),
    (tree_of(nope=1), "nope: nothing takes this key; "),
    (tree_of(seed=-1), "seed: is -1; give a whole number from 0 to 4294967295"),
    (tree_of(plugins={}), "plugins: is empty; choose an option with plugins=…"),
    (tree_of(loggers={"x": 3}), "loggers.x: is 3; a component is a mapping with a _target_"),
    (tree_of(optimizer={"lr": 1}), "optimizer: is {'lr': 1}; a component is a mapping with a "),
    (
        with_plugin({"_target_": "legoloop.Counter"}, "model"),
        "plugins.model: the name is taken by ",
    ),
    (with_value(tree_of(), "data.seed", "x"), "data.seed: is 'x'; give a whole number from 0 to "),
    (
        with_value(tree_of(), "data.datasets.train._target_", "legoloop.nothing"),
        "data.datasets.train._target_: legoloop has no 'nothing'; ",
    ),
    (
        with_value(tree_of(), "data.loaders.default.batch_size", 0),
        "data.loaders.default.batch_size: is 0; give a whole number of at least 1",
    ),
]


@pytest.mark.parametrize(("tree", "message"), REFUSED)
def test_a_wrong_tree_is_refused_at_its_key(tree: Tree, message: str) -> None:
    assert refused(tree).startswith(message)


def test_of_what_is_not_used_only_what_the_user_chose_is_refused() -> None:
    tree = tree_of(scheduler={"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1})
    Blueprint.of(tree)
    assert refused(tree, origins={"scheduler": "command line"}) == (
        "scheduler: is chosen, but no plugin and no logger uses it"
    )


def test_components_that_need_each_other_are_refused() -> None:
    node = {"_target_": "bricks.takes_anything", "_inject_": {"x": "descent"}}
    tree = with_plugin(node)
    tree["plugins"]["descent"]["_inject_"]["feed"] = "mine"
    assert "cannot be built: " in refused(tree)


def test_of_a_container_of_the_users_only_the_settings_are_understood() -> None:
    blueprint = Blueprint.of({"app": "bricks.Own", "seed": 3, "whatever": {"a": 1}})
    assert (blueprint.settings.app, blueprint.settings.seed) == ("bricks.Own", 3)
    assert (blueprint.components, blueprint.datasets, blueprint.loaders) == ({}, {}, None)
    assert (blueprint.lists, blueprint.edges, blueprint.plugin_order, blueprint.scope) == (
        *({}, (), (), ()),
    )
    assert again(blueprint) == blueprint
    assert refused({"app": "bricks.Own", "seed": -1}).startswith("seed: is -1")


def test_what_feeds_a_container_of_the_users_is_a_blueprint_too() -> None:
    tree = {"app": "bricks.Own", "num_epochs": 8, "epoch_size": 2, "run_dir": "run", "seed": 1}
    app, fed = validated_app(Blueprint.of(tree))
    assert fed.settings.num_epochs == app.last().num_epochs == 3
    app, fed = validated_app(Blueprint.of(tree, origins={"num_epochs": "command line"}))
    assert fed.settings.num_epochs == app.last().num_epochs == 8
    assert again(fed) == fed


def test_references_are_kept_beside_the_values() -> None:
    written = tree_of()
    written["plugins"]["last"]["num_epochs"] = "${num_epochs}"
    tree, unresolved = resolve_with(written, {})
    blueprint = again(Blueprint.of(tree, unresolved))
    assert blueprint.unresolved["plugins"]["last"]["num_epochs"] == "${num_epochs}"
    assert find_path(blueprint.tree, "plugins.last.num_epochs") == 2
