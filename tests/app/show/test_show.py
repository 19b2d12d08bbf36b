from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from dependency_injector import containers, providers
from omegaconf import OmegaConf

import legoloop as ll
from legoloop.app.config.blueprint import Blueprint
from legoloop.app.show.show import show
from legoloop.core.errors import ConfigError
from tests.app.composed import XOR, blueprint_of


class Own(containers.DeclarativeContainer):
    config = providers.Configuration()
    config.from_dict({"epoch_size": 5})
    counter = providers.Singleton(ll.Counter)
    last = providers.Singleton(ll.LastEpoch, counter, config.num_epochs)
    host = providers.Singleton(ll.TrainingHost, plugins=providers.List(counter, last))


@pytest.fixture(autouse=True)
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is defined above under the name ``bricks``."""
    monkeypatch.setitem(sys.modules, "bricks", sys.modules[__name__])
    monkeypatch.chdir(tmp_path)


def shown(*overrides: str, where: Any = lambda key: f"set {key}") -> str:
    return show(blueprint_of(*XOR, *overrides), where)


def test_the_resolved_tree_is_what_the_run_will_record(tmp_path: Path) -> None:
    text = shown("show=config", "num_epochs=7", "seed=3")
    tree: Any = OmegaConf.to_container(OmegaConf.create(text))
    assert tree == blueprint_of(*XOR, "show=config", "num_epochs=7", "seed=3").tree
    assert (tree["plugins"]["last"]["num_epochs"], tree["data"]["seed"]) == (7, 3)
    assert "${" not in text
    assert [*tmp_path.iterdir()] == []


def test_each_component_with_its_class_its_place_and_what_it_is_given() -> None:
    lines = [line.split() for line in shown("show=plan").partition("\n\n")[0].splitlines()]
    at = {line[0]: number for number, line in enumerate(lines) if line[0] != "given"}
    assert lines[at["model"]][1:] == ["legoloop.zoo.models.Logistic", "(set", "model._target_)"]
    assert lines[at["optimizer"] + 1] == ["given", "params"]
    assert lines[at["plugins.descent"] + 1] == (
        ["given", "opt=optimizer,", "model,", "feed,", "loss"]
    )
    assert lines[at["plugins.descent.guard"] + 1] == ["given", "counter"]
    assert {"data.datasets.train", "data.datasets.val", "loss", "plugins.counter"} <= at.keys()


def test_functions_of_loaders_are_shown_too() -> None:
    sampler = "+data.loaders.train.sampler={_target_: legoloop.ClassBalancedSampler}"
    assert "\ndata.loaders.train.sampler  " in shown("show=plan", sampler)


def test_nothing_is_built_or_touched_for_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*args: Any, **given: Any) -> None:
        pytest.fail("a data set is read")

    monkeypatch.setattr("legoloop.zoo.toy_data.xor", touched)
    for asked in ("plan", "config"):
        shown(f"show={asked}", "device=cuda:7")


def test_a_schedule_reads_the_length_of_the_data() -> None:
    text = shown("show=schedule", "scheduler=warmup_linear", "num_epochs=4", "epoch_size=64")
    first, second, *plot = text.splitlines()
    assert first == "lr_scheduler: WarmupSchedule, moved once per step; 4 epochs, 8 steps"
    assert second == "first 0.001, greatest 0.001 at step 0, last 0.000125"
    assert plot[0].split("|") == ["   0.001 ", "*"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "show: there is no curve: the rate stays as it is, or follows what is measured"),
        (("scheduler=plateau",), "show: there is no curve: the rate stays as it is, or follows "),
        (("scheduler=cosine", "num_epochs=0"), "show: there is no curve: the training has no step"),
    ],
)
def test_a_schedule_that_is_not_known_beforehand(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        shown("show=schedule", *overrides)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize("asked", ["plan", "schedule"])
def test_of_a_container_of_the_users_only_the_tree_is_known(asked: str) -> None:
    own = Blueprint.of({"app": "bricks.Own", "num_epochs": 3, "run_dir": "run", "show": "config"})
    text = show(own, lambda key: None)
    assert {"epoch_size: 5", "num_epochs: 3"} <= {*text.splitlines()}, "the values that feed it"
    with pytest.raises(ConfigError) as refused:
        show(Blueprint.of({**own.tree, "show": asked}), lambda key: None)
    assert str(refused.value).startswith(
        f"show: {asked} is known for the components of the tree, not for those of your app; for "
    )
