"""What nobody asks for is not in the way, and what ships makes room for what a user puts there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import legoloop as ll
from legoloop.app.config.blueprint import Blueprint
from legoloop.app.config.paths import Tree
from legoloop.app.show.plan import plan_text
from legoloop.app.wiring.make_app import validated_app
from legoloop.core.errors import ConfigError
from tests.app.composed import blueprint_of, refusal, tree_of
from tests.tiny import Noisy

QUIET = ["loggers=[]", "hydra.run.dir=run"]


class Stream:
    """A stream of a user's own: endless, of no data set."""

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> dict[str, Any]:
        return {}


class Driver:
    def batches(self) -> Any:
        yield from ()


class OwnDescent:
    def batch(self, step: object) -> None: ...


class OwnFeed:
    def __init__(self, model: object, device: object, factor: float = 1.0) -> None: ...

    def __call__(self, batch: Any) -> Any: ...


class WrapsTheTrainData:
    def __init__(self, train_iterator: object) -> None: ...


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mine", sys.modules[__name__])


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "conf"
    for group in ("data", "experiment"):
        (folder / group).mkdir(parents=True)
    return folder


def experiment(conf: Path, text: str, *overrides: str) -> Blueprint:
    """The blueprint of a run of an experiment of a user's."""
    (conf / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{text}")
    app = ll.compose([*QUIET, "experiment=mine", *overrides], config_dir=conf)
    found: Blueprint = app.blueprint()
    return found


OWN = """
defaults:
  - override /data: own
  - override /plugins: [checkpoints]
plugins:
  counter: {_target_: legoloop.Counter}
  epoch: {_target_: legoloop.SimpleEpoch}
  descent: {_target_: mine.OwnDescent}
  last: {_target_: legoloop.LastEpoch, num_epochs: 1}
"""


def test_a_project_with_data_of_its_own_needs_none_of_the_groups(conf: Path) -> None:
    (conf / "data" / "own.yaml").write_text("datasets: {train: {_target_: mine.Noisy}}\n")
    blueprint = experiment(conf, OWN)
    assert sorted(blueprint.components) == ["checkpoints", "counter", "descent", "epoch", "last"]
    assert list(blueprint.unused) == [
        "model",
        "loss",
        "optimizer",
        "metrics",
        "accumulators",
        "feed",
        "parallel",
    ]
    app, _ = validated_app(blueprint)
    assert isinstance(app.data.datasets()["train"], Noisy)
    assert not hasattr(app, "model"), "it would be refused: there is no image_shape"
    assert list(app.host().plan.plugins) == list(blueprint.plugin_order)


def test_the_plan_says_what_is_not_built(conf: Path) -> None:
    (conf / "data" / "own.yaml").write_text("datasets: {train: {_target_: mine.Noisy}}\n")
    told = plan_text(experiment(conf, OWN), lambda key: f"file of {key}")
    assert (
        "model                not built: nothing asks for it  (file of model._target_)"
        in told.splitlines()
    )


def test_what_a_plugin_asks_for_is_checked_all_the_same(conf: Path) -> None:
    (conf / "data" / "own.yaml").write_text("datasets: {train: {_target_: mine.Noisy}}\n")
    with pytest.raises(ConfigError, match=r"^model.image_shape \(conf/model/simple_cnn.yaml\): "):
        experiment(conf, OWN + "  feeds: {_target_: mine.OwnFeed}\n")


def test_what_is_not_built_cannot_be_asked_for_later() -> None:
    tree = tree_of(scheduler={"_target_": "builtins.dict"})
    assert Blueprint.of(tree).unused == {"scheduler": "scheduler"}
    app, _ = validated_app(Blueprint.of(tree))
    app.config.plugins.last.from_value(
        {"_target_": "legoloop.LastEpoch", "num_epochs": 1, "_inject_": {"counter": "scheduler"}}
    )
    with pytest.raises(ConfigError, match=r"^plugins: components cannot be added or removed"):
        app.host()


def test_what_a_user_chose_and_nobody_uses_is_refused_as_before() -> None:
    assert refusal(
        *("data=xor", "loggers=[]", "plugins=[last_step]", "plugins.last_step.num_steps=1"),
        *("+plugins.counter._target_=legoloop.Counter", "+plugins.d._target_=mine.Driver"),
        "model=mlp",
    ) == ("model (conf/model/mlp.yaml): is chosen, but no plugin and no logger uses it")


FEED = "feed: {_target_: mine.OwnFeed"


def test_a_target_of_ones_own_is_not_given_the_keys_of_ours(conf: Path) -> None:
    blueprint = experiment(conf, FEED + "}\n")
    assert blueprint.tree["feed"] == blueprint.unresolved["feed"] == {"_target_": "mine.OwnFeed"}
    assert Blueprint.from_dict(blueprint.to_dict()) == blueprint
    for override in ("feed._target_=mine.OwnFeed", "feed={_target_: mine.OwnFeed}"):
        assert blueprint_of(override).tree["feed"] == {"_target_": "mine.OwnFeed"}


def test_what_it_takes_it_keeps(conf: Path) -> None:
    text = "loss: {_target_: mine.OwnFeed, model: 1, device: cpu}\nfeed: {channels_last: false}\n"
    loss = experiment(conf, text).tree["loss"]
    assert loss == {"_target_": "mine.OwnFeed", "model": 1, "device": "cpu"}
    descent = {**blueprint_of().tree["plugins"]["descent"], "_target_": "legoloop.GradientDescent"}
    assert (
        experiment(conf, "plugins: {descent: {_target_: legoloop.GradientDescent}}\n").tree[
            "plugins"
        ]["descent"]
        == descent
    )


def test_injections_of_ours_go_too(conf: Path) -> None:
    blueprint = experiment(conf, "plugins: {descent: {_target_: mine.OwnDescent}}\n")
    assert blueprint.components["descent"].dependencies == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            FEED + ", channels_last: true}\n",
            r"^feed.channels_last \(.*mine.yaml\): mine.OwnFeed takes no",
        ),
        (FEED + ", factr: 2.0}\n", r"^feed.factr \(.*mine.yaml\): mine.OwnFeed takes no 'factr'"),
        (
            FEED + "}\nnotes: '${feed.channels_last}'\n",
            r"^feed.channels_last \(conf/config.yaml\): ",
        ),
        ("feed: {_target_: mine.Nothing}\n", r"^feed._target_ \(.*mine.yaml\): "),
    ],
)
def test_what_the_user_wrote_is_taken_or_refused(conf: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        experiment(conf, text)


def test_a_setting_that_the_own_target_does_not_read_is_refused() -> None:
    assert refusal("feed._target_=mine.OwnFeed", "channels_last=true") == (
        "channels_last (command line): has no effect here: no component refers to it; leave it out"
    )


def test_a_precision_that_no_feed_computes_in_is_refused() -> None:
    takes_none = "feed._target_=mine.OwnFeed"
    assert refusal(takes_none, "precision=amp_bf16") == (
        "feed.precision (conf/precision/amp_bf16.yaml): is amp_bf16, but mine.OwnFeed takes no "
        "precision; give precision=fp32"
    )
    assert "precision" not in blueprint_of(takes_none, "precision=fp32").tree["feed"]


STREAM = "plugins: {epoch: {train_iterator: {_target_: mine.Stream}, epoch_size: 8}}\n"


def has_schedule(blueprint: Blueprint) -> bool:
    parts = ("scheduler" in blueprint.components, "lr_scheduler" in blueprint.components)
    assert parts[0] == parts[1]
    return parts[0]


def test_a_data_option_brings_its_schedule_to_its_own_stream_alone(conf: Path) -> None:
    assert has_schedule(blueprint_of())
    assert not has_schedule(experiment(conf, STREAM))
    assert not has_schedule(experiment(conf, STREAM, "data=digits"))
    assert not has_schedule(experiment(conf, STREAM, "loggers=[progress]")), "it looks at the data"
    wrapped = STREAM.replace("mine.Stream", "mine.WrapsTheTrainData")
    assert has_schedule(experiment(conf, wrapped))


OWN_DESCENT = "plugins: {descent: {_target_: mine.OwnDescent}}\n"


def test_an_optimizer_that_nobody_steps_has_no_schedule(conf: Path) -> None:
    assert not has_schedule(experiment(conf, OWN_DESCENT))


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        (STREAM, ["scheduler=cosine"]),
        ("defaults: [{override /scheduler: cosine}]\n" + STREAM, []),
        (STREAM + "scheduler: {eta_min: 0.1}\n", []),
    ],
)
def test_a_schedule_that_was_chosen_stays(conf: Path, text: str, overrides: list[str]) -> None:
    assert has_schedule(experiment(conf, text, *overrides))


def test_an_entry_is_taken_away_with_null() -> None:
    found = blueprint_of("data=diabetes", "accumulators.idx=null", "plugins.predicts=null")
    app, _ = validated_app(found)
    assert sorted(app.accumulators()().result()) == ["prediction", "target"]


def plugins_without(tree: Tree, *names: str) -> Tree:
    return {**tree, "plugins": {k: v for k, v in tree["plugins"].items() if k not in names}}


def test_a_tree_of_ones_own_keeps_what_is_in_it() -> None:
    """Who composed it has not said what came from where."""
    schedule = {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1}
    tree = plugins_without(tree_of(scheduler=schedule), "descent")
    tree["plugins"]["lr_scheduler"] = {"_target_": "legoloop.LRScheduler"}
    assert has_schedule(Blueprint.of(tree))
