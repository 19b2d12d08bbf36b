from __future__ import annotations

import sys
from pathlib import Path

import pytest
from dependency_injector import containers, providers

import legoloop as ll
from legoloop.core import rng
from legoloop.core.errors import ConfigError


class Defs(containers.DeclarativeContainer):
    config = providers.Configuration()
    rate = providers.Factory(dict, lr=config.optimizer.lr)


class Reads(containers.DeclarativeContainer):
    """Reads two keys itself, one through a container inside, and one group whole."""

    config = providers.Configuration()
    defs = providers.Container(Defs, config=config)
    counter = providers.Singleton(ll.Counter)
    epoch = providers.Singleton(ll.SimpleEpoch, iter(()), config.epoch_size)
    last = providers.Singleton(ll.LastEpoch, counter, config.num_epochs)
    batching = providers.Factory(dict, config.data)
    host = providers.Singleton(ll.TrainingHost, plugins=providers.List(counter, epoch, last))


class Misreads(containers.DeclarativeContainer):
    """Sets ``lr`` and reads ``learning_rate``, here and in a container inside."""

    config = providers.Configuration(default={"lr": 0.1, "momentum": None, "inner": {"gamma": 1}})
    rate = providers.Factory(dict, lr=config.learning_rate, momentum=config.momentum)
    host = providers.Singleton(dict, rate)


class Inner(containers.DeclarativeContainer):
    config = providers.Configuration()
    step = providers.Factory(dict, gamma=config.gamma)


class MisreadsWithin(containers.DeclarativeContainer):
    config = providers.Configuration(default={"inner": {"gama": 1}})
    inner = providers.Container(Inner, config=config.inner)
    host = providers.Singleton(dict, inner.step)


class ReadsWithin(containers.DeclarativeContainer):
    config = providers.Configuration(default={"inner": {"gamma": 1}, "momentum": None})
    inner = providers.Container(Inner, config=config.inner)
    host = providers.Singleton(dict, inner.step, config.momentum)


class NoConfig(containers.DeclarativeContainer):
    host = providers.Singleton(dict)


class ConfigOfAnotherKind(containers.DeclarativeContainer):
    config = providers.Object({})
    host = providers.Singleton(dict)


@pytest.fixture(autouse=True)
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The containers above under the name ``apps``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "apps", sys.modules[__name__])


def refused(*overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        ll.compose([*overrides])
    return str(error.value)


def test_the_tree_feeds_the_container() -> None:
    app = ll.compose(["app=apps.Reads", "num_epochs=3", "optimizer.lr=0.5", "seed=2"])
    assert app.last().num_epochs == 3
    assert app.defs.rate() == {"lr": 0.5}
    assert app.config.seed() == 2


@pytest.mark.parametrize(
    "override", ["num_epochs=3", "optimizer.lr=1", "data.loaders.default.batch_size=4", "seed=1"]
)
def test_keys_that_are_read_may_be_set(override: str) -> None:
    assert isinstance(ll.compose(["app=apps.Reads", override]), containers.DynamicContainer)


def test_every_container_may_be_given_a_name() -> None:
    app = ll.compose(["app=apps.Reads", "name=first", "tags=[a, b]", "notes=looks well"])
    assert (app.config.name(), app.config.tags()) == ("first", ["a", "b"])


def test_a_key_that_is_not_read_is_refused() -> None:
    assert refused("app=apps.Reads", "eval_samples=3") == (
        "eval_samples (command line): apps.Reads does not read this key; there are app, data, "
        "epoch_size, name, nodes, notes, num_epochs, on_config_change, optimizer.lr, parallel, "
        "ranks, rerun, resume, run_dir, seed, show, sweep, tags"
    )
    assert refused("app=apps.Reads", "+num_epoch=3") == (
        "num_epoch (command line): apps.Reads does not read this key; did you mean num_epochs?"
    )


def test_a_key_that_is_read_and_that_nobody_sets_is_refused() -> None:
    assert refused("app=apps.Misreads").startswith(
        "learning_rate: apps.Misreads reads this key, and nobody sets it; there are lr, momentum, "
    )
    assert refused("app=apps.MisreadsWithin").startswith(
        "gamma: apps.MisreadsWithin reads this key, and nobody sets it; there are inner.gama; "
    )
    assert ll.compose(["app=apps.ReadsWithin"]).inner.step() == {"gamma": 1}
    assert ll.compose(["app=apps.Misreads", "+learning_rate=0.3"]).rate()["lr"] == 0.3


def test_what_lies_beside_a_key_that_is_read_is_not_read() -> None:
    assert refused("app=apps.Reads", "optimizer.weight_decay=1").startswith(
        "optimizer.weight_decay (command line): apps.Reads does not read this key; "
    )


def test_where_the_run_writes_is_no_key_of_the_app() -> None:
    assert ll.compose(["app=apps.Reads", "hydra.run.dir=run"]).config.run_dir().endswith("/run")


def test_keys_that_only_ship_need_not_be_read() -> None:
    assert ll.compose(["app=apps.Reads"]).last().num_epochs >= 1


def test_values_are_checked_as_they_are_for_ours() -> None:
    assert refused("app=apps.Reads", "num_epochs=-1") == (
        "num_epochs (command line): is -1; give a whole number of at least 0"
    )


def test_only_containers_with_a_config_and_a_host_are_apps() -> None:
    assert refused("app=apps.Path") == "app (command line): apps.Path is no DeclarativeContainer"
    for name in ("NoConfig", "ConfigOfAnotherKind"):
        assert refused(f"app=apps.{name}") == (
            f"app (command line): apps.{name} has no provider 'config' of kind Configuration"
        )


def test_settings_of_one_app_do_not_reach_the_next() -> None:
    ll.compose(["app=apps.Reads", "num_epochs=3"])
    assert Reads.config() == {}


class OwnValues(Reads):
    """Brings values that differ from those that ship."""

    config = providers.Configuration()
    config.from_dict({"seed": 5, "num_epochs": 3, "optimizer": {"lr": 0.25}})
    defs = providers.Container(Defs, config=config)
    counter = providers.Singleton(ll.Counter)
    last = providers.Singleton(ll.LastEpoch, counter, config.num_epochs)


def test_values_of_the_container_stand() -> None:
    app = ll.compose(["app=apps.OwnValues"])
    assert app.last().num_epochs == 3
    assert app.defs.rate() == {"lr": 0.25}
    assert rng.last_seed() == 5
    assert app.config.data.seed() == 5, "what refers to a value follows it"


def test_the_command_line_wins_over_values_of_the_container() -> None:
    app = ll.compose(["app=apps.OwnValues", "num_epochs=8", "seed=0"])
    assert app.last().num_epochs == 8
    assert rng.last_seed() == 0
    assert app.defs.rate() == {"lr": 0.25}


def test_a_file_of_the_users_wins_over_values_of_the_container(tmp_path: Path) -> None:
    preset = tmp_path / "conf" / "experiment" / "mine.yaml"
    preset.parent.mkdir(parents=True)
    preset.write_text("# @package _global_\nnum_epochs: 8\n")
    overrides = ["app=apps.OwnValues", "experiment=mine"]
    app = ll.compose(overrides, config_dir=tmp_path / "conf")
    assert app.last().num_epochs == 8
    assert app.defs.rate() == {"lr": 0.25}


def test_a_group_that_it_does_not_read_is_refused() -> None:
    assert refused("app=apps.Reads", "model=mlp").startswith(
        "model (conf/model/mlp.yaml): apps.Reads does not read this key; "
    )
